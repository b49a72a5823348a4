"""Following a bounce that another runner drives: to its end, or until that runner has gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from builders import later, pod, request
from fakes import FakeClock, FakeCluster

from mecbounce.cli.exits import StoppedImmediately
from mecbounce.cli.following import PODS_EVERY, PODS_LATER, StoppedFollowing, follow
from mecbounce.cli.options import Output
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import AccessDenied, RecordError
from mecbounce.machine import Event, State
from mecbounce.next_commands import Given
from mecbounce.progress import Progress
from mecbounce.record import BounceRecord, Notice, StateEntry
from mecbounce.stores import FileStore

from .bounces import OLD_UID, PATH, RUNNER, record

WAITING = record(*PATH[:3], runner=RUNNER)
BACK = WAITING.changed(
    path=(*WAITING.path, StateEntry(state=State.AWAIT_READY, at=later(31.75), event=Event.POD_GONE)),
    deadline=later(631.75),
    notices=(Notice(code="clock_skew", message="The clocks differ.", at=later(31.75)),),
)
DONE = BACK.changed(
    path=(*BACK.path, StateEntry(state=State.DONE, at=later(91.75), event=Event.POD_STARTED)), deadline=None
)


class Driver:
    """Another runner. Between two looks of the follower it does what is next on its list."""

    def __init__(self, path: Path) -> None:
        self.store = FileStore(path)
        self.follower = FileStore(path)
        self.does: list[Callable[[], object]] = []
        self.lives = ExitStack()
        self.lives.enter_context(self.store.hold())
        self.store.save(WAITING)
        self.terminal = BounceInTerminal(request(), "prod", Given(), Output.TEXT)

    def goes(self) -> None:
        self.lives.close()

    def followed(self, stop: Callable[[], bool] = lambda: False, cluster: FakeCluster | None = None) -> BounceRecord:
        return follow(self.follower, WAITING, self.terminal, stop, cluster)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver(tmp_path / "r.json")
    monkeypatch.setattr("time.sleep", lambda _: made.does.pop(0)())
    yield made
    made.goes()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.partition("Z ")[2] for line in capsys.readouterr().out.splitlines()]


def test_it_shows_what_is_saved_and_ends_as_the_bounce_ends(driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
    driver.does = [lambda: None, lambda: driver.store.save(BACK), lambda: driver.store.save(DONE)]
    assert driver.followed() == DONE
    first, *then = lines(capsys)
    assert first.startswith("Following: ci@build-7, process 4711, drives this bounce (last save ")
    assert [line for line in then if not line.startswith("waiting, ")] == [
        "node expressnodes.express.example.com/v1 mec-0",
        "AWAIT_TERMINATION, at most 600 s",
        "notice: The clocks differ.",
        "AWAIT_READY, at most 600 s",
        "DONE",
    ]


class TestWhatTheBounceWaitsFor:
    """A follower with a cluster lists the pods, while the bounce waits."""

    @pytest.fixture
    def seconds(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        passed = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: passed[0])
        return passed

    def test_is_shown_as_its_driver_shows_it(
        self, driver: Driver, monkeypatch: pytest.MonkeyPatch, seconds: list[float]
    ) -> None:
        shown: list[Progress] = []
        monkeypatch.setattr(driver.terminal, "progress", shown.append)
        cluster = FakeCluster(FakeClock())
        back = BACK.model_copy(update={"deadline": later(1e9)})  # else the deadline has passed
        driver.does = [
            lambda: driver.store.save(back),
            lambda: seconds.__setitem__(0, PODS_EVERY),
            lambda: driver.store.save(DONE),
        ]
        assert driver.followed(cluster=cluster) == DONE
        assert ("not_recreated", "nothing has recreated the pod yet") == (shown[-1].code, shown[-1].text)
        assert [State.AWAIT_TERMINATION, State.AWAIT_READY] == [found.state for found in shown]
        assert cluster.calls == ["pods default/mec-0"] * 2

    def test_is_looked_at_later_and_nothing_told_if_a_look_fails(
        self, driver: Driver, capsys: pytest.CaptureFixture[str], seconds: list[float]
    ) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.faults = [AccessDenied("may not list pods")] * 9
        driver.does = [
            lambda: seconds.__setitem__(0, PODS_LATER - 0.1),
            lambda: driver.store.save(BACK),
            lambda: seconds.__setitem__(0, PODS_LATER),
            lambda: driver.store.save(DONE),
        ]
        assert driver.followed(cluster=cluster) == DONE
        assert len(cluster.calls) == 2
        assert "may not" not in capsys.readouterr().out

    @pytest.mark.parametrize("looks_fail", [False, True], ids=["the next state", "a failed look"])
    def test_is_not_told_by_a_look_that_is_out_of_date(
        self, driver: Driver, seconds: list[float], looks_fail: bool
    ) -> None:
        """Else the live screen says that the old pod exists again, or keeps an old reason."""
        cluster = FakeCluster(FakeClock(), pod(uid=OLD_UID, deleted=30))
        going = WAITING.changed(deadline=later(1e9))  # else the deadline has passed
        back = going.changed(path=BACK.path)
        screens: list[str] = []

        def outdate() -> None:
            if looks_fail:
                cluster.faults = [AccessDenied("may not list pods")]
                seconds[0] = PODS_EVERY
            else:
                driver.store.save(back)

        def seen() -> None:
            screens.append(driver.terminal.__rich__().plain)

        driver.does = [lambda: driver.store.save(going), seen, outdate, seen, driver.goes]
        driver.followed(cluster=cluster)
        assert "grace period" in screens[0]
        assert "grace period" not in screens[1]
        assert "the old pod" not in screens[1]

    def test_is_not_looked_for_before_the_deletion(self, driver: Driver) -> None:
        cluster = FakeCluster(FakeClock())
        checking = record(runner=RUNNER)
        driver.follower = FileStore(driver.store.path.with_name("other.json"))
        with driver.follower.hold():
            driver.follower.save(checking)
            driver.does = [driver.follower.path.unlink]
            with pytest.raises(RecordError, match="in INIT_CHECKS"):
                follow(driver.follower, checking, driver.terminal, lambda: False, cluster)
        assert cluster.calls == []


def test_it_gives_the_bounce_as_it_stands_once_its_runner_has_gone(driver: Driver) -> None:
    driver.does = [lambda: driver.store.save(BACK), driver.goes]
    assert driver.followed() == BACK


def test_another_runner_that_takes_the_bounce_over_is_followed(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    other = FileStore(driver.store.path)
    taken = BACK.model_copy(update={"runner": RUNNER.model_copy(update={"who": "me@laptop", "process": 7})})
    with other.hold():
        driver.does = [lambda: other.save(taken), driver.goes, lambda: other.save(DONE)]
        assert driver.followed() == DONE
    assert [line.partition(" (last")[0] for line in lines(capsys) if "Following" in line] == [
        "Following: ci@build-7, process 4711, drives this bounce",
        "Following: me@laptop, process 7, drives this bounce",
    ]


def test_one_that_takes_over_right_after_the_lock_was_looked_at_is_not_called_gone(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two runs would take the bounce from each other in turns."""
    held, looks = FileStore.held, list[bool]()

    def then_taken_over(store: FileStore) -> bool:
        looks.append(len(looks) > 0 and held(store))
        if len(looks) == 1:
            driver.store.save(BACK)
        return looks[-1]

    monkeypatch.setattr(FileStore, "held", then_taken_over)
    driver.does = [lambda: driver.store.save(DONE)]
    assert driver.followed() == DONE


def test_an_end_that_a_new_bounce_has_set_aside_is_found(driver: Driver) -> None:
    def ended_and_begun_anew() -> None:
        driver.store.save(BACK)
        driver.store.save(DONE)
        driver.store.set_aside()
        driver.store.save(record().model_copy(update={"bounce_id": "b-2"}))

    driver.does = [ended_and_begun_anew]
    assert driver.followed() == DONE


def test_a_record_that_is_removed_is_told(driver: Driver) -> None:
    driver.does = [driver.store.path.unlink]
    with pytest.raises(RecordError, match="has been removed while this run followed it in AWAIT_TERMINATION"):
        driver.followed()


def test_the_live_screen_says_who_drives_it_until_that_runner_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm-256color"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    terminal = BounceInTerminal(request(), "prod", Given(), Output.TEXT)

    def said() -> list[str]:
        return [line for line in terminal.__rich__().plain.splitlines() if line.startswith("runner ")]

    terminal.follow(WAITING)
    [shown] = said()
    assert re.fullmatch(r"runner ci@build-7, process 4711, last saved \d+ days ago; this run follows", shown)
    terminal.gone(WAITING, then="this run takes the bounce over")
    assert said() == []


def test_asked_to_stop_it_says_that_the_bounce_goes_on(driver: Driver) -> None:
    with pytest.raises(StoppedFollowing) as stopped:
        driver.followed(lambda: True)
    assert str(stopped.value) == (
        "Stopped following: the bounce of mec-0 goes on, driven by ci@build-7, process 4711. Run again to follow it."
    )
    assert driver.store.load() == WAITING


def test_stopped_immediately_it_does_not_speak_of_a_bounce_of_its_own(driver: Driver) -> None:
    def signalled() -> bool:
        raise StoppedImmediately

    with pytest.raises(StoppedImmediately, match="This run only followed: the bounce of mec-0 goes on, driven by ci@"):
        driver.followed(signalled)

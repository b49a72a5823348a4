"""A second run on a bounce whose runner is alive: it follows, and takes over only when that runner has gone."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable

import pytest
from real_cluster import till

from .helpers import LONGEST_RUN, Command, Finished
from .real import Audit, Site

pytestmark = [pytest.mark.e2e, pytest.mark.once]


class Follower:
    """A second run, and what it has said on standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        self.said.extend(iter(self._process.stderr.readline, ""))

    def till(self, text: str) -> None:
        till(text, lambda: any(text in line for line in [*self.said]), seconds=LONGEST_RUN)

    def finish(self) -> Finished:
        assert self._process.stdout is not None
        stdout = self._process.stdout.read()
        self._reading.join()
        return Finished(self._process.wait(), stdout, "".join(self.said))


def test_a_second_run_follows_and_goes_on_with_the_bounce_once_its_runner_is_killed(
    site: Site, command: Command, audit: Audit, figure: Callable[[str], None]
) -> None:
    """One bounce is followed to its end; of another the driver is killed. Each pod gets one DELETE."""
    old = {name: str(site.node(site.gated(), name).metadata.uid) for name in ("mec-0", "mec-1")}
    drivers = {name: command.start("run", *site.words(name)) for name in old}
    for name, uid in old.items():
        till(f"the deletion of {name}", lambda name=name: audit.deletions(site.namespace, name))  # type: ignore[misc]
        till(f"another {name}", lambda name=name, uid=uid: (pod := site.pod(name)) and pod.metadata.uid != uid)  # type: ignore[misc]
    asked = len(audit.by_mecbounce(site.namespace))
    followers = {name: Follower(command.start("run", *site.words(name))) for name in old}
    for follower in followers.values():
        follower.till("AWAIT_READY")
    assert {one.verb for one in audit.by_mecbounce(site.namespace)[asked:]} == {"list"}  # what it waits for

    site.let_go("mec-0", old["mec-0"])
    driven, followed = command.finish(drivers["mec-0"]), followers["mec-0"].finish()
    assert (driven.status, followed.status) == (0, 0)
    assert followed.result == driven.result
    assert re.search(
        rf"Following: \S+@\S+, process {drivers['mec-0'].pid}, drives this bounce \(last save ", followed.stderr
    )

    drivers["mec-1"].kill()
    followers["mec-1"].till("Resumed bounce")
    site.let_go("mec-1", old["mec-1"])
    ended = followers["mec-1"].finish()
    assert (ended.status, ended.result["state"], ended.notices) == (0, "DONE", {"resumed"})
    assert f"process {drivers['mec-1'].pid}) has gone: this run takes the bounce over." in ended.stderr
    deletions = [len(audit.deletions(site.namespace, name)) for name in old]
    figure(f"a bounce followed to its end, another taken over after kill -9: DELETEs accepted: {deletions}")
    assert deletions == [1, 1]

"""When is a pod back, and how long may that take?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import NOW, STARTUP_PROBE, later, pod, stamp

from mecbounce import probes
from mecbounce.fields import ONE_WEEK
from mecbounce.kubernetes_api.objects import DISRUPTED_REASONS, Container, Pod, Probe
from mecbounce.machine import Event
from mecbounce.request import ReadyWhen


def container(name: str = "app", **probe: Any) -> Container:
    """Give a container with that startup probe; without one where none of its fields is given."""
    return Container.model_validate({"name": name, "startupProbe": probe or None})


def running(name: str = "app", since: float = -10, **fields: Any) -> dict[str, Any]:
    return {"name": name, "state": {"running": {"startedAt": stamp(since)}}} | fields


WAITING = {"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}}
PROBED = {"startupProbe": STARTUP_PROBE}
TWO = {"containers": [{"name": "app", **PROBED}, {"name": "db", **PROBED}]}
ONE_OF_TWO = {"containers": [{"name": "app", **PROBED}, {"name": "log"}]}
SIDECAR = {"initContainers": [{"name": "proxy", "restartPolicy": "Always", **PROBED}]}
INIT = {"initContainers": [{"name": "migrate", **PROBED}]}


class TestBudget:
    @pytest.mark.parametrize(
        ("probe", "expected"),
        [
            ({"httpGet": {"path": "/"}}, 0 + 3 * 10 + 10),
            ({"periodSeconds": 1, "failureThreshold": 30}, 0 + 30 * 1 + 1),
            ({"periodSeconds": 5, "failureThreshold": 6, "timeoutSeconds": 20}, 0 + 6 * 20 + 5),
            ({"periodSeconds": 5, "failureThreshold": 6, "timeoutSeconds": 5}, 0 + 6 * 5 + 5),
            ({"initialDelaySeconds": 40, "periodSeconds": 10, "failureThreshold": 60}, 40 + 60 * 10 + 10),
            ({"initialDelaySeconds": 7, "timeoutSeconds": 11}, 7 + 3 * 11 + 10),
        ],
        ids=["defaults", "period", "timeout_beyond_period", "timeout_equal", "initial_delay", "all"],
    )
    def test_of_one_container_is_what_its_kubelet_gives_it(self, probe: dict[str, Any], expected: float) -> None:
        assert expected == probes.probe_budget(Probe.model_validate(probe))
        assert expected == probes.startup_budget([container(**probe)])

    @pytest.mark.parametrize(
        ("containers", "expected"),
        [
            ([], 0.0),
            ([container()], 0.0),
            ([container(), container("db", failureThreshold=6)], 70.0),
            ([container(failureThreshold=60), container("db", failureThreshold=6)], 610.0),
            ([container(failureThreshold=6), container("db", failureThreshold=60)], 610.0),
        ],
        ids=["no_container", "no_probe", "one_of_two", "first_slowest", "last_slowest"],
    )
    def test_of_several_is_the_slowest_ones(self, containers: list[Container], expected: float) -> None:
        assert expected == probes.startup_budget(containers)

    def test_counts_a_native_sidecar_and_no_other_init_container(self) -> None:
        assert 31.0 == probes.startup_budget(pod(spec=SIDECAR).spec.long_running)
        assert 0.0 == probes.startup_budget(pod(spec=INIT).spec.long_running)


class TestTimeouts:
    @pytest.mark.parametrize(
        ("given", "grace_period", "expected"),
        [
            (None, 30, 600.0),
            (None, 540, 600.0),
            (None, 541, 601.0),
            (None, 3600, 3660.0),
            (5.0, 30, 5.0),
            (5.0, 3600, 5.0),
            (900.0, 30, 900.0),
        ],
    )
    def test_termination_is_as_given_or_600_s_and_never_less_than_the_grace_period_and_60_s(
        self, given: float | None, grace_period: float, expected: float
    ) -> None:
        assert expected == probes.termination_deadline(given, grace_period).seconds

    @pytest.mark.parametrize(
        ("given", "failure_threshold", "expected"),
        [
            (None, 1, 600.0),
            (None, 29, 600.0),
            (None, 30, 610.0),
            (None, 120, 1510.0),
            (5.0, 1, 5.0),
            (5.0, 120, 5.0),
            (9000.0, 1, 9000.0),
        ],
    )
    def test_ready_is_as_given_or_600_s_and_never_less_than_the_budget_and_300_s(
        self, given: float | None, failure_threshold: int, expected: float
    ) -> None:
        assert expected == probes.ready_deadline(given, [container(failureThreshold=failure_threshold)]).seconds

    def test_of_what_a_pod_asks_for_a_week_is_believed(self) -> None:
        endless = [container(failureThreshold=2**31 - 1, periodSeconds=2**31 - 1)]
        week = 7 * 24 * 3600
        assert (week + 60, week + 300) == (
            probes.termination_deadline(None, 2**63 - 1).seconds,
            probes.ready_deadline(None, endless).seconds,
        )

    def test_ready_without_a_probe_is_600_s(self) -> None:
        assert 600.0 == probes.ready_deadline(None, []).seconds


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"container": PROBED}, True),
        ({"spec": ONE_OF_TWO}, True),
        ({"spec": SIDECAR}, True),
        ({"spec": INIT}, False),
    ],
    ids=["none", "one", "one_of_two", "sidecar", "init_container"],
)
def test_a_startup_probe_is_one_of_a_long_running_container(fields: dict[str, Any], expected: bool) -> None:
    assert expected is probes.has_startup_probe(pod(**fields))


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {"containerStatuses": [running(started=True)]}, True),
        ({}, {"containerStatuses": [running(started=False)]}, False),
        ({}, {"containerStatuses": [running(started=None)]}, True),
        ({}, {"containerStatuses": [running()]}, True),
        ({}, {"containerStatuses": [WAITING | {"started": True}]}, False),
        ({}, {"containerStatuses": []}, False),
        ({}, {"containerStatuses": None}, False),
        ({"containers": []}, {"containerStatuses": []}, False),
        (TWO, {"containerStatuses": [running(started=True), running("db", started=True)]}, True),
        (TWO, {"containerStatuses": [running(started=True), running("db", started=False)]}, False),
        (TWO, {"containerStatuses": [running(started=True)]}, False),
        (ONE_OF_TWO, {"containerStatuses": [running(started=True), running("log", started=False)]}, False),
        (ONE_OF_TWO, {"containerStatuses": [running(started=True), running("log", started=True)]}, True),
        (ONE_OF_TWO, {"containerStatuses": [running(started=None), running("log", started=True)]}, False),
        (ONE_OF_TWO, {"containerStatuses": [running(started=False), running("log", started=True)]}, False),
        (SIDECAR, {"initContainerStatuses": [running("proxy", started=True)]}, True),
        (SIDECAR, {"initContainerStatuses": [running("proxy", started=False)]}, False),
        (SIDECAR, {"initContainerStatuses": None}, False),
    ],
    ids=[
        "unprobed_runs",
        "unprobed_does_not_run",
        "unprobed_runs_null",
        "unprobed_runs_not_said",
        "unprobed_waits",
        "no_status",
        "null_statuses",
        "no_container",
        "both",
        "one_of_both",
        "one_without_status",
        "the_unprobed_one_does_not_run",
        "both_of_which_one_is_probed",
        "the_probed_one_not_said",
        "the_unprobed_one",
        "sidecar",
        "sidecar_not_yet",
        "sidecar_without_status",
    ],
)
def test_it_has_started_when_every_long_running_container_has(
    spec: dict[str, Any], status: dict[str, Any], expected: bool
) -> None:
    assert expected is probes.is_started(pod(spec=spec, status=status), NOW)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([{"type": "Ready", "status": "True"}], True),
        ([{"type": "Ready", "status": "False"}], False),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "Ready"}], False),
        ([{"type": "ContainersReady", "status": "True"}], False),
        ([], False),
        (None, False),
    ],
)
def test_it_is_ready_when_its_condition_says_so(conditions: Any, expected: bool) -> None:
    assert expected is probes.is_ready(pod(status={"conditions": conditions}), NOW)


@pytest.mark.parametrize(
    ("ready_when", "probed", "started", "ready", "expected"),
    [
        (ReadyWhen.AUTO, True, True, False, Event.POD_STARTED),
        (ReadyWhen.AUTO, True, False, True, None),
        (ReadyWhen.AUTO, False, True, False, None),
        (ReadyWhen.AUTO, False, False, True, Event.POD_READY),
        (ReadyWhen.STARTED, True, True, False, Event.POD_STARTED),
        (ReadyWhen.STARTED, True, False, True, None),
        (ReadyWhen.STARTED, False, True, False, Event.POD_STARTED),
        (ReadyWhen.STARTED, False, False, True, None),
        (ReadyWhen.READY, True, True, False, None),
        (ReadyWhen.READY, True, False, True, Event.POD_READY),
        (ReadyWhen.READY, False, True, False, None),
        (ReadyWhen.READY, False, False, True, Event.POD_READY),
    ],
)
def test_it_is_back_as_was_asked_or_as_the_pod_is_made_for(
    ready_when: ReadyWhen, probed: bool, started: bool, ready: bool, expected: Event | None
) -> None:
    seen = pod(ready=ready, container=PROBED if probed else None, container_status={"started": started})
    assert expected is probes.completion_event(seen, ready_when, NOW)


IMAGE = {"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
CRASHING = {"name": "app", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
ENDED = {"name": "app", "state": {"terminated": {"exitCode": 0}}}
PROXY = running("proxy", started=True, ready=True)
READINESS = {"readinessProbe": {"periodSeconds": 5}}


@pytest.mark.parametrize(
    ("app", "status", "expected"),
    [
        ({}, running(started=True), True),
        ({}, running(started=None), True),
        ({}, running(), True),
        ({}, IMAGE, False),
        ({}, CRASHING, False),
        ({}, ENDED, False),
        ({}, {"name": "app", "state": {}}, False),
        ({}, {"name": "other", **running(started=True, name="other")}, False),
        (READINESS, running(started=True, ready=False), False),
        (READINESS, running(started=True, ready=True), True),
        (READINESS, IMAGE | {"ready": True}, False),
        (READINESS | PROBED, running(started=True, ready=False), True),
        (READINESS | PROBED, running(started=False, ready=True), False),
        ({"livenessProbe": {}}, running(started=True, ready=False), True),
        ({}, running(since=-9.9, started=True, restartCount=1), False),
        ({}, running(since=-10, started=True, restartCount=1), True),
        ({}, running(since=-3600, started=True, restartCount=99), True),
        ({}, running(since=-1, started=True, restartCount=0), True),
        (READINESS, running(since=-2, started=True, ready=True, restartCount=2), False),
        (PROBED, running(since=-1, started=True, restartCount=4), False),
        (PROBED, running(since=-11, started=True, restartCount=4), True),
        ({}, {"name": "app", "restartCount": 1, "started": True, "state": {"running": {}}}, False),
    ],
    ids=[
        "runs_unprobed",
        "runs_unprobed_null",
        "runs_unprobed_not_said",
        "image_pull",
        "crash_loop",
        "ended",
        "no_state",
        "no_status",
        "not_ready",
        "ready",
        "ready_but_waits",
        "started_is_enough_with_a_startup_probe",
        "ready_left_from_before_its_restart",
        "a_liveness_probe_says_nothing",
        "just_restarted",
        "restarted_10_s_ago",
        "restarted_long_ago",
        "runs_for_the_first_time",
        "ready_between_two_crashes",
        "started_is_inherited_from_before_its_restart",
        "started_anew",
        "restarted_nobody_knows_when",
    ],
)
@pytest.mark.parametrize("native", [False, True], ids=["beside", "native"])
def test_beside_a_proxy_whose_startup_probe_has_passed_the_application_counts_too(
    app: dict[str, Any], status: dict[str, Any], expected: bool, native: bool
) -> None:
    """Whether the mesh puts its proxy beside the containers or before them, as a native sidecar."""
    proxy = {"name": "proxy", **PROBED}
    one = {"name": "app", **app}
    spec = {"containers": [one], "initContainers": [proxy | {"restartPolicy": "Always"}]}
    statuses = {"containerStatuses": [status], "initContainerStatuses": [PROXY]}
    if not native:
        spec, statuses = {"containers": [proxy, one]}, {"containerStatuses": [PROXY, status]}
    ready = {"conditions": [{"type": "Ready", "status": str(bool(status.get("ready")))}]}
    found = probes.completion_event(pod(spec=spec, status=statuses | ready), ReadyWhen.AUTO, NOW)
    assert found is (Event.POD_STARTED if expected else None)


NOT_READY = {"conditions": [{"type": "Ready", "status": "False"}, {"type": "x", "status": "True"}]}
ASIDE = {"name": "debug", "state": {"terminated": {"exitCode": 1}}, "restartCount": 3}


@pytest.mark.parametrize("proxy", [running("proxy", started=False), WAITING | {"name": "proxy"}], ids=["not", "waits"])
def test_an_application_that_is_ready_does_not_make_up_for_a_proxy_that_has_not_started(proxy: dict[str, Any]) -> None:
    spec = {"containers": [{"name": "app"}, {"name": "proxy", **PROBED}]}
    status = {"containerStatuses": [running(started=True, ready=True), proxy], **NOT_READY}
    assert None is probes.completion_event(pod(spec=spec, status=status), ReadyWhen.AUTO, NOW)


@pytest.mark.parametrize("ready_when", ReadyWhen)
def test_a_container_of_kubectl_debug_holds_nothing_up(ready_when: ReadyWhen) -> None:
    status = {"ephemeralContainerStatuses": [ASIDE, running("shell", restartCount=1)]}
    seen = pod(spec={"ephemeralContainers": [{"name": "debug"}, {"name": "shell"}]}, status=status)
    assert probes.completion_event(seen, ready_when, NOW)


@pytest.mark.parametrize("since", [-9.9, -10, -3600, 5, None])
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_ready_condition_counts_once_each_restarted_container_has_run_for_10_s(
    kind: str, since: float | None
) -> None:
    """An unprobed one is ready in each moment between two crashes. So may a sidecar be."""
    running_at = {"startedAt": stamp(since)} if since is not None else {}
    crashed = {"name": "log", "ready": True, "restartCount": 1, "state": {"running": running_at}}
    spec: dict[str, Any] = {"containers": [{"name": "app"}], "initContainers": []}
    spec[kind] = [*spec[kind], {"name": "log", "restartPolicy": "Always"}]
    main = [running(ready=True), *([crashed] if kind == "containers" else [])]
    status = {"containerStatuses": main, "initContainerStatuses": [crashed] if kind == "initContainers" else []}
    back = since is not None and since <= -10
    for ready_when in (ReadyWhen.AUTO, ReadyWhen.READY):
        found = probes.completion_event(pod(spec=spec, status=status), ready_when, NOW)
        assert found is (Event.POD_READY if back else None)


@pytest.mark.parametrize("off", [-3600, -60, 0, 60, 3600])
@pytest.mark.parametrize("ran", [3, 12])
def test_a_restarted_container_has_run_so_long_by_its_kubelets_own_clock(off: float, ran: float) -> None:
    """A kubelet's clock an hour ahead: it would not be back for an hour. An hour behind: it would be at once."""
    crashed = {"name": "app", "ready": True, "restartCount": 1, "state": {"running": {"startedAt": stamp(off - ran)}}}
    status = {"containerStatuses": [crashed], "startTime": stamp(off - 98)}
    found = probes.completion_event(pod(created=-99, status=status), ReadyWhen.READY, NOW)
    assert found is (Event.POD_READY if ran >= 10 else None)


def test_a_kubelet_that_first_saw_a_pod_late_has_no_wrong_clock() -> None:
    """The pod had to wait for a Kubernetes node with room."""
    crashed = {"name": "app", "ready": True, "restartCount": 1, "state": {"running": {"startedAt": stamp(-3)}}}
    seen = pod(created=-3600, status={"containerStatuses": [crashed], "startTime": stamp(-60)})
    assert NOW == probes.kubelet_now(seen, NOW)
    assert probes.completion_event(seen, ReadyWhen.READY, NOW) is None


def test_an_ordinary_init_container_that_was_tried_again_holds_nothing_up() -> None:
    status = {"initContainerStatuses": [{"name": "migrate", "restartCount": 3, "state": ENDED["state"]}]}
    assert probes.completion_event(pod(spec=INIT, status=status), ReadyWhen.READY, NOW)


@pytest.mark.parametrize("ready_when", ReadyWhen)
@pytest.mark.parametrize(
    ("status", "back"),
    [
        *(({"reason": reason}, False) for reason in sorted(DISRUPTED_REASONS)),
        ({"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."}, False),
        ({"reason": "SomethingElse"}, True),
        ({"target": "True"}, False),
        ({"target": "False"}, True),
        ({"target": "Unknown"}, True),
    ],
    ids=str,
)
def test_a_pod_that_is_on_its_way_out_is_not_back_though_it_runs_and_is_ready(
    status: dict[str, str], back: bool, ready_when: ReadyWhen
) -> None:
    target = {"type": "DisruptionTarget", "status": status.get("target"), "reason": "EvictionByEvictionAPI"}
    conditions = [{"type": "Ready", "status": "True"}, *([target] if target["status"] else [])]
    seen = pod(status={"conditions": conditions, **status}, container=PROBED)
    assert bool(probes.completion_event(seen, ready_when, NOW)) is back


GATE = {"readinessGates": [{"conditionType": "example.com/load-balanced"}]}


@pytest.mark.parametrize(
    ("ready", "conditions", "gates", "silent"),
    [
        (True, [{"type": "Ready", "status": "False"}], {}, True),
        (True, [{"type": "Ready", "status": "Unknown"}], {}, True),
        (True, [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}], GATE, False),
        (True, [{"type": "Ready", "status": "True"}], {}, False),
        (True, [], {}, False),
        (False, [{"type": "Ready", "status": "False"}], {}, False),
    ],
    ids=["taken", "unknown", "a_gate_may_hold_it", "ready", "not_reported_yet", "not_ready"],
)
def test_a_kubelet_that_fell_silent_is_told_by_a_condition_that_its_containers_belie(
    ready: bool, conditions: list[Any], gates: dict[str, Any], silent: bool
) -> None:
    """The node controller takes the Ready condition; what the containers said last stays, `started` too."""
    seen = pod(spec=gates, container=PROBED, container_status={"ready": ready, "started": True}, status={})
    seen = seen.model_copy(
        update={"status": seen.status.model_validate(seen.status.model_dump() | {"conditions": conditions})}
    )
    assert probes.kubelet_is_silent(seen) is silent
    assert probes.completion_event(seen, ReadyWhen.AUTO, NOW) is (None if silent else Event.POD_STARTED)


def test_one_container_that_is_not_ready_explains_the_condition() -> None:
    status = {"containerStatuses": [running(ready=True, started=True), running("db", started=True, ready=False)]}
    assert not probes.kubelet_is_silent(pod(spec=TWO, ready=False, status=status))


@pytest.mark.parametrize("ready_when", ReadyWhen)
@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_is_not_back_whatever_its_status_still_says(phase: str, ready_when: ReadyWhen) -> None:
    ended = pod(status={"phase": phase}, container=PROBED)
    assert probes.is_started(ended, NOW)
    assert None is probes.completion_event(ended, ready_when, NOW)


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {"containerStatuses": [running(since=-10)]}, later(-10)),
        ({}, {"containerStatuses": [WAITING]}, None),
        ({}, {"containerStatuses": [{"name": "app", "state": {"running": {"startedAt": None}}}]}, None),
        ({}, {"containerStatuses": [{"name": "app", "state": {"terminated": {"exitCode": 0}}}]}, None),
        ({}, {"containerStatuses": []}, None),
        ({"containers": []}, {"containerStatuses": []}, None),
        (TWO, {"containerStatuses": [running(since=-10), running("db", since=-4)]}, later(-4)),
        (TWO, {"containerStatuses": [running(since=-4), running("db", since=-10)]}, later(-4)),
        (TWO, {"containerStatuses": [running(since=-10), WAITING | {"name": "db"}]}, None),
        (TWO, {"containerStatuses": [running(since=-10), {"name": "db", "state": {"running": {}}}]}, None),
        (
            SIDECAR,
            {"containerStatuses": [running(since=-10)], "initContainerStatuses": [running("proxy", since=-12)]},
            later(-10),
        ),
        (SIDECAR, {"containerStatuses": [running(since=-10)]}, None),
        (INIT, {"containerStatuses": [running(since=-10)]}, later(-10)),
    ],
    ids=[
        "runs",
        "waits",
        "no_time",
        "ended",
        "no_status",
        "no_container",
        "last_of_two",
        "first_of_two",
        "one_waits",
        "one_without_a_time",
        "sidecar",
        "sidecar_without_status",
        "init_container",
    ],
)
def test_it_runs_since_the_last_of_its_long_running_containers_started(
    spec: dict[str, Any], status: dict[str, Any], expected: datetime | None
) -> None:
    assert expected == probes.running_since(pod(spec=spec, status=status))


class TestDeadlineFromStart:
    ENTERED = later(-100)

    @pytest.mark.parametrize(
        ("since", "expected"),
        [(-40, -40), (-100, -100), (0, 0), (-101, -100), (-86400, -100), (1, 0), (86400, 0)],
        ids=["within", "just_entered", "just_now", "a_second_early", "a_day_early", "a_second_ahead", "a_day_ahead"],
    )
    def test_counts_from_the_start_but_believes_no_clock_beyond_what_can_be(self, since: float, expected: int) -> None:
        seen = pod(status={"containerStatuses": [running(since=since)]})
        deadline = probes.deadline_from_start(seen, entered_at=self.ENTERED, now=NOW, skew=timedelta())
        assert later(expected + 600) == deadline

    def test_never_lies_beyond_now_and_the_timeout_even_where_our_own_clock_went_back(self) -> None:
        seen = pod(status={"containerStatuses": [running(since=50)]})
        assert later(600) == probes.deadline_from_start(seen, entered_at=later(100), now=NOW, skew=timedelta())

    @pytest.mark.parametrize("skew", [-3600, -45, 45, 3600])
    def test_is_kept_by_our_own_clock_however_far_the_clusters_is_from_it(self, skew: float) -> None:
        seen = pod(status={"containerStatuses": [running(since=skew - 40)]})
        found = probes.deadline_from_start(seen, entered_at=self.ENTERED, now=NOW, skew=timedelta(seconds=skew))
        assert later(-40 + 600) == found

    @pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    @pytest.mark.parametrize("skew", [-3600, 3600])
    def test_believes_no_time_that_is_none(self, since: str, skew: int) -> None:
        seen = pod(status={"containerStatuses": [{**running(), "state": {"running": {"startedAt": since}}}]})
        deadline = probes.deadline_from_start(seen, entered_at=self.ENTERED, now=NOW, skew=timedelta(seconds=skew))
        assert deadline == later((-100 if since.startswith("0001") else 0) + 600)

    def test_gives_the_replacement_its_own_budget(self) -> None:
        seen = pod(container={"startupProbe": {"failureThreshold": 120}}, container_status=running(since=-40))
        expected = later(-40) + timedelta(seconds=120 * 10 + 10 + 300)
        assert expected == probes.deadline_from_start(seen, entered_at=self.ENTERED, now=NOW, skew=timedelta())

    def test_is_none_while_a_container_does_not_run(self) -> None:
        seen = pod(status={"containerStatuses": [WAITING]})
        assert None is probes.deadline_from_start(seen, entered_at=self.ENTERED, now=NOW, skew=timedelta())


class TestStartupProgress:
    PROBE = {"initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 10}  # noqa: RUF012 -- a table

    @pytest.mark.parametrize(
        ("ran", "tries", "left"),
        [(-3, 0, 27), (0, 0, 27), (6.9, 0, 20.1), (7, 1, 20), (24.5, 9, 2.5), (25, 10, 2), (99, 10, 0)],
    )
    def test_reckons_tries_and_budget_from_the_containers_start(self, ran: float, tries: int, left: float) -> None:
        seen = pod(container={"startupProbe": self.PROBE}, ready=False, container_status=running(since=-ran))
        progress = probes.startup_progress(seen, NOW)
        assert progress is not None
        assert ("app", tries, 10) == (progress.container, progress.tries, progress.allowed)
        assert pytest.approx(left) == progress.left
        assert pytest.approx(min(1.0, 1 - left / 27)) == progress.used

    @pytest.mark.parametrize(
        "seen",
        [
            pod(container_status=running(since=-5)),
            pod(container={"startupProbe": PROBE}),
            pod(container={"startupProbe": PROBE}, status={"containerStatuses": []}),
            pod(container={"startupProbe": PROBE}, container_status=WAITING),
            pod(container={"startupProbe": PROBE}, ready=False, container_status={"state": {"running": {}}}),
        ],
        ids=["no probe", "passed", "no status", "not running", "no start"],
    )
    def test_is_none_where_no_startup_probe_is_at_work(self, seen: Pod) -> None:
        assert None is probes.startup_progress(seen, NOW)

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_is_reckoned_by_the_clusters_clock(self, skew: float) -> None:
        started = running(since=skew - 7)
        seen = pod(container={"startupProbe": self.PROBE}, ready=False, container_status=started)
        progress = probes.startup_progress(seen, later(skew))
        assert progress is not None
        assert (1, 20) == (progress.tries, progress.left)

    def test_is_of_the_first_container_whose_startup_probe_has_not_passed(self) -> None:
        spec = {"containers": [{"name": "app", **PROBED}, {"name": "log"}, {"name": "db", "startupProbe": self.PROBE}]}
        statuses = [running(started=True), running("log", started=True), running("db", since=-7, started=False)]
        progress = probes.startup_progress(pod(spec=spec, status={"containerStatuses": statuses}), NOW)
        assert progress is not None
        assert ("db", 1) == (progress.container, progress.tries)

    def test_a_probe_without_a_period_is_taken_for_one_a_second(self) -> None:
        probe = {"periodSeconds": 0, "timeoutSeconds": 0, "failureThreshold": 10}
        seen = pod(container={"startupProbe": probe}, ready=False, container_status=running(since=-4))
        progress = probes.startup_progress(seen, NOW)
        assert progress is not None
        assert progress.tries == 4

    @pytest.mark.parametrize(("ran", "used"), [(0, 0), (0.5, 0.5), (4, 1)])
    def test_a_budget_of_nothing_is_taken_for_a_second(self, ran: float, used: float) -> None:
        probe = {"periodSeconds": 0, "timeoutSeconds": 0}
        seen = pod(container={"startupProbe": probe}, ready=False, container_status=running(since=-ran))
        progress = probes.startup_progress(seen, NOW)
        assert progress is not None
        assert progress.used == used

    def test_a_try_takes_as_long_as_its_timeout_where_that_is_longer_than_the_period(self) -> None:
        probe = {"periodSeconds": 1, "timeoutSeconds": 4, "failureThreshold": 10}
        seen = pod(container={"startupProbe": probe}, ready=False, container_status=running(since=-9))
        progress = probes.startup_progress(seen, NOW)
        assert progress is not None
        assert progress.tries == 2

    def test_a_container_whose_start_is_not_told_hides_no_other(self) -> None:
        spec = {"containers": [{"name": "app", **PROBED}, {"name": "db", "startupProbe": self.PROBE}]}
        statuses = [{"name": "app", "state": {"running": {}}}, running("db", since=-7)]
        progress = probes.startup_progress(pod(spec=spec, status={"containerStatuses": statuses}), NOW)
        assert progress is not None
        assert progress.container == "db"


@pytest.mark.parametrize(
    ("made", "seen", "started", "off"),
    [
        (-99, -99 - 5, -20, 0),
        (-99, -99 - 5.001, -20, -5.001),
        (-99, -99 + 3, -20, 0),
        (-99, -99 + 60, 5, 0),
        (-99, -99 + 60, 5.001, 60),
    ],
    ids=["seen_5_s_before", "seen_earlier", "seen_after", "starts_in_5_s", "starts_later"],
)
def test_a_kubelets_clock_is_another_once_its_times_are_impossible_by_more_than_5_s(
    made: float, seen: float, started: float, off: float
) -> None:
    status = {"containerStatuses": [running(since=started)], "startTime": stamp(seen)}
    assert later(off) == probes.kubelet_now(pod(created=made, status=status), NOW)


def test_a_restarted_container_that_waits_is_not_back_though_the_pod_is_still_called_ready() -> None:
    status = {"containerStatuses": [CRASHING | {"ready": False}]}
    assert None is probes.completion_event(pod(status=status), ReadyWhen.READY, NOW)


SLOW, FAST = {"periodSeconds": 10, "failureThreshold": 90}, {"periodSeconds": 10, "failureThreshold": 6}
SUM = "container app's startup probe allows 90 × 10 s + 10 s = 910 s"  # noqa: RUF001 -- a product


@pytest.mark.parametrize(
    ("given", "containers", "expected"),
    [
        (None, [container("app", **SLOW), container("db", **FAST)], (1210, f"{SUM}, and 300 s more", False)),
        (None, [container("app")], (600, "the default; no container has a startup probe", False)),
        (909, [container("db", **FAST), container("app", **SLOW)], (909, f"as given, and too short: {SUM}", True)),
        (0.5, [container("app")], (0.5, "as given; no container has a startup probe", False)),
    ],
    ids=["from_the_slowest", "default", "too_short", "given"],
)
def test_a_readiness_deadline_says_where_it_comes_from(
    given: float | None, containers: list[Container], expected: tuple[float, str, bool]
) -> None:
    found = probes.ready_deadline(given, containers)
    seconds, origin, short = expected
    then = "; counted again once its containers run" if given is None else ""
    assert (found.seconds, found.origin, found.short) == (seconds, f"{origin}{then}", short)


@pytest.mark.parametrize(
    ("too_short", "then"), [(0.2, 0.4), (60, 120), (60.5, 180), (90, 180), (600, 1200), (ONE_WEEK, ONE_WEEK)]
)
def test_what_was_too_short_is_doubled_and_above_two_minutes_in_whole_minutes(too_short: float, then: float) -> None:
    assert then == probes.longer(too_short)

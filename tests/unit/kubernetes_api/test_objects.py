"""What is read from the API server."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from builders import (
    OPERATOR,
    OTHER,
    REPLICA_SET,
    STATEFUL_SET,
    controller,
    faults,
    later,
    pod,
    pod_json,
)
from builders import stamp as at

from mecbounce.kubernetes_api.objects import (
    Condition,
    ContainerStatus,
    Controller,
    Explained,
    FromApi,
    Host,
    Metadata,
    Pod,
    PodEvent,
    PodStatus,
    Probe,
    Terminated,
)
from mecbounce.record import (
    PinnedPod,
)


class TestApiData:
    def test_a_pod_needs_no_more_than_a_name_and_a_uid(self) -> None:
        bare = Pod.model_validate({"metadata": {"name": "mec-0", "uid": "uid-1"}})
        assert ((), (), "", 30, ()) == (
            bare.spec.containers,
            bare.spec.init_containers,
            bare.spec.node_name,
            bare.spec.termination_grace_period_seconds,
            bare.spec.readiness_gates,
        )
        assert ("", (), (), ()) == (
            bare.status.phase,
            bare.status.conditions,
            bare.status.container_statuses,
            bare.status.init_container_statuses,
        )
        assert (False, False, None, False, {}) == (
            bare.terminating,
            bare.finished,
            bare.controller,
            bare.is_renamed_by(bare.controller),
            bare.images,
        )

    @pytest.mark.parametrize("field", ["name", "uid"])
    @pytest.mark.parametrize("how", ["missing", "null"])
    def test_a_pod_without_an_identity_is_none(self, field: str, how: str) -> None:
        data = pod_json()
        data["metadata"][field] = None
        if how == "missing":
            del data["metadata"][field]
        assert [(f"metadata.{field}", "Field required")] == faults(Pod, data)

    def test_a_null_is_a_missing_field(self) -> None:
        identity = {"name": "mec-0", "uid": "uid-1"}
        nulls = {
            "metadata": identity
            | dict.fromkeys(
                [
                    "namespace",
                    "generateName",
                    "creationTimestamp",
                    "deletionTimestamp",
                    "deletionGracePeriodSeconds",
                    "finalizers",
                    "annotations",
                    "ownerReferences",
                ]
            ),
            "spec": dict.fromkeys(
                ["containers", "initContainers", "nodeName", "terminationGracePeriodSeconds", "readinessGates"]
            ),
            "status": dict.fromkeys(
                ["phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses"]
            ),
        }
        bare = Pod.model_validate({"metadata": identity})
        assert bare == Pod.model_validate(nulls)
        assert bare == Pod.model_validate({"metadata": identity, "spec": None, "status": None})

    def test_a_null_within_a_list_of_objects_is_a_missing_field_too(self) -> None:
        status = {"name": "app", "ready": True, "started": None, "state": None, "lastState": {"terminated": None}}
        seen = pod(status={"containerStatuses": [status]}).container_status("app")
        assert seen is not None
        assert (None, None, None) == (seen.started, seen.state.running, seen.last_state.terminated)

    def test_a_probe_has_the_apis_defaults(self) -> None:
        probe = Probe.model_validate({"timeoutSeconds": None, "httpGet": {"path": "/"}})
        assert Probe(initial_delay_seconds=0, period_seconds=10, failure_threshold=3, timeout_seconds=1) == probe

    def test_a_container_of_which_little_is_reported_tells_not_whether_it_has_started(self) -> None:
        status = ContainerStatus.model_validate({"name": "app", "lastState": {"terminated": {}}})
        assert status.last_state.terminated is not None
        assert (False, None, 0, 0) == (
            status.ready,
            status.started,
            status.restart_count,
            status.last_state.terminated.exit_code,
        )

    def test_a_time_is_read_as_kubernetes_writes_it(self) -> None:
        assert later(-3600) == pod(metadata={"creationTimestamp": "2026-01-01T11:00:00Z"}).metadata.creation_timestamp

    def test_a_time_without_a_zone_is_refused(self) -> None:
        [(field, _)] = faults(Pod, pod_json(metadata={"creationTimestamp": "2026-01-01T11:00:00"}))
        assert "metadata.creationTimestamp" == field

    def test_a_host_without_a_ready_condition_is_of_unknown_readiness(self) -> None:
        bare = Host.model_validate({"metadata": {"name": "host-1", "uid": "h"}, "status": None})
        assert ("host-1", "Unknown") == (bare.name, bare.ready.status)

    def test_a_host_tells_its_ready_condition_among_others(self) -> None:
        conditions = [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}]
        seen = Host.model_validate({"metadata": {"name": "h", "uid": "h"}, "status": {"conditions": conditions}})
        assert ("Ready", "True") == (seen.ready.type, seen.ready.status)


TARGET = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempted by x"}
HOST = {"apiVersion": "v1", "kind": "Node", "name": "host-1", "uid": "h-1", "controller": True}


class TestPod:
    @pytest.mark.parametrize(
        ("owners", "expected"),
        [
            ([], None),
            ([OPERATOR], "owner-1"),
            ([OPERATOR | {"controller": False}], None),
            ([{"kind": "ConfigMap", "name": "c", "uid": "c-1"}, OTHER], "owner-2"),
        ],
        ids=["none", "one", "an_owner_that_is_no_controller", "second_of_two"],
    )
    def test_its_controller_is_the_owner_that_says_so(self, owners: list[Any], expected: str | None) -> None:
        controller = pod(owner=None, metadata={"ownerReferences": owners}).controller
        assert expected == (controller.uid if controller else None)

    @pytest.mark.parametrize(
        ("owner", "generate_name", "expected"),
        [
            (REPLICA_SET, "mec-7d9f-", True),
            (STATEFUL_SET, "mec-", False),
            (STATEFUL_SET, "", False),
            (OPERATOR, "", False),
            (OPERATOR, "mec-", True),
            (None, "mec-", False),
            (None, "", False),
        ],
        ids=[
            "replica_set",
            "stateful_set",
            "old_stateful_set",
            "operator",
            "operator_that_generates",
            "bare_generated",
            "bare",
        ],
    )
    def test_its_name_is_generated_unless_a_stateful_set_or_its_maker_gave_it(
        self, owner: dict[str, Any] | None, generate_name: str, expected: bool
    ) -> None:
        seen = pod(owner=owner, metadata={"generateName": generate_name})
        assert expected is seen.is_renamed_by(seen.controller)

    @pytest.mark.parametrize(("deleted", "expected"), [(None, False), (-30, True), (30, True)])
    def test_it_is_terminating_from_its_deletion_on(self, deleted: float | None, expected: bool) -> None:
        assert expected is pod(deleted=deleted).terminating

    @pytest.mark.parametrize(
        ("phase", "expected"),
        [
            ("Pending", False),
            ("Running", False),
            ("Unknown", False),
            ("", False),
            ("Succeeded", True),
            ("Failed", True),
        ],
    )
    def test_it_is_finished_when_its_containers_ended_for_good(self, phase: str, expected: bool) -> None:
        assert expected is pod(status={"phase": phase}).finished

    def test_native_sidecars_run_as_long_as_the_pod_and_other_init_containers_do_not(self) -> None:
        inits = [{"name": "migrate"}, {"name": "proxy", "restartPolicy": "Always"}]
        assert ["app", "proxy"] == [one.name for one in pod(spec={"initContainers": inits}).spec.long_running]

    def test_its_images_are_those_of_its_long_running_containers(self) -> None:
        """A replacement without its native sidecar is told of."""
        sidecar = {"name": "proxy", "image": "proxy:3", "restartPolicy": "Always"}
        spec = {
            "containers": [{"name": "app", "image": "app:1"}, {"name": "log", "image": "log:2"}],
            "initContainers": [{"name": "migrate", "image": "app:1"}, sidecar],
        }
        images = pod(spec=spec).images
        assert {"app": "app:1", "log": "log:2", "proxy": "proxy:3"} == images
        without = {"app": "app:1", "log": "log:2"}
        assert [("proxy", "proxy:3", "none")] == PinnedPod.of(pod(spec=spec), []).image_changes(without)

    @pytest.mark.parametrize(
        ("metadata", "owner", "expected"),
        [
            ({"annotations": {"kubernetes.io/config.mirror": "x"}}, None, True),
            ({"annotations": {"kubernetes.io/config.mirror": ""}}, HOST, True),
            ({}, HOST, True),
            ({}, HOST | {"controller": False}, False),
            ({}, HOST | {"apiVersion": "express.example.com/v1"}, False),
            ({"annotations": {"kubernetes.io/config.source": "file"}}, OPERATOR, False),
        ],
    )
    def test_it_mirrors_a_static_pod_by_its_annotation_or_its_owner(
        self, metadata: dict[str, Any], owner: dict[str, Any] | None, expected: bool
    ) -> None:
        assert expected is pod(owner=owner, metadata=metadata).mirrors_static_pod

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            ({"controller-revision-hash": "s-1"}, "s-1"),
            ({"pod-template-hash": "7d9f"}, "7d9f"),
            ({"controller-revision-hash": "s-1", "pod-template-hash": "7d9f"}, "s-1"),
            ({"app": "mec"}, ""),
            (None, ""),
        ],
    )
    def test_its_revision_is_told_by_a_label(self, labels: Any, expected: str) -> None:
        assert expected == pod(metadata={"labels": labels}).revision

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ({"reason": "Evicted", "message": "The node was low on memory."}, "Evicted: The node was low on memory."),
            ({"reason": "NodeShutdown"}, "NodeShutdown"),
            ({"conditions": [TARGET]}, "PreemptionByScheduler: preempted by x"),
            ({"conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "DisruptionTarget"),
            ({"conditions": [TARGET | {"status": "False"}]}, ""),
            ({"reason": "OutOfcpu"}, ""),
            ({}, ""),
        ],
        ids=str,
    )
    def test_it_is_disrupted_where_its_status_says_why(self, status: dict[str, Any], expected: str) -> None:
        assert expected == pod(status=status).disrupted

    def test_a_condition_is_found_by_its_type(self) -> None:
        conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False", "reason": "x"}]
        ready = pod(status={"conditions": conditions}).condition("Ready")
        assert ready is not None
        assert ("False", "x") == (ready.status, ready.reason)
        assert None is pod(status={"conditions": conditions}).condition("Initialized")

    def test_a_containers_status_is_found_by_name_init_containers_included(self) -> None:
        seen = pod(status={"initContainerStatuses": [{"name": "proxy", "restartCount": 2}]})
        proxy = seen.container_status("proxy")
        assert proxy is not None
        assert 2 == proxy.restart_count
        assert None is seen.container_status("migrate")


class TestPodEvent:
    @pytest.mark.parametrize(
        ("times", "expected"),
        [
            ({"lastTimestamp": at(-5)}, -5),
            ({"firstTimestamp": at(-90), "lastTimestamp": at(-5), "count": 9}, -5),
            ({"eventTime": "2026-01-01T11:59:53.123456Z"}, -6.876544),
            ({"eventTime": at(-60), "series": {"count": 3, "lastObservedTime": at(-7)}}, -7),
            ({"eventTime": at(-60), "series": None, "firstTimestamp": None, "lastTimestamp": None}, -60),
            ({"series": {"lastObservedTime": at(-7)}, "lastTimestamp": None, "eventTime": None}, -7),
            ({"firstTimestamp": at(-90)}, -90),
            ({"lastTimestamp": "2026-01-01T13:00:00+01:00"}, 0),
        ],
    )
    def test_was_last_seen_as_any_of_its_times_tells(self, times: dict[str, Any], expected: float) -> None:
        assert later(expected) == PodEvent.model_validate({"reason": "FailedCreate", **times}).last_seen

    def test_without_a_time_it_was_long_ago(self) -> None:
        assert PodEvent().last_seen < later(-(10**9))


class TestController:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ({"replicas": 3}, (3, 0, True, False)),
            ({"replicas": 0, "podManagementPolicy": "OrderedReady"}, (0, 0, True, False)),
            ({"replicas": 3, "podManagementPolicy": "Parallel"}, (3, 0, False, False)),
            ({"replicas": 3, "ordinals": {"start": 5}}, (3, 5, True, False)),
            ({"ordinals": {"start": None}, "replicas": None, "suspend": None}, (None, 0, True, False)),
            ({"ordinals": [5], "replicas": "3", "suspend": "true"}, (None, 0, True, False)),
            ({"replicas": True, "suspend": True}, (None, 0, True, True)),
            ([], (None, 0, True, False)),
            (None, (None, 0, True, False)),
        ],
    )
    def test_reads_what_it_wants_and_takes_what_is_odd_for_unknown(
        self, spec: Any, expected: tuple[int | None, int, bool, bool]
    ) -> None:
        """Any operator may call something else so."""
        found = controller(spec)
        assert expected == (found.replicas, found.first_ordinal, found.ordered, found.suspended)

    @pytest.mark.parametrize("kind", ["Job", "ReplicaSet", "DaemonSet", "ExpressNode"])
    def test_no_other_kind_makes_its_pods_in_order(self, kind: str) -> None:
        assert not controller({"replicas": 3}, kind=kind).ordered

    @pytest.mark.parametrize(
        ("status", "metadata", "expected"),
        [
            ({"desiredNumberScheduled": 3}, {}, 3),
            (
                {"desiredNumberScheduled": 3, "observedGeneration": 4},
                {"generation": 4},
                3,
            ),
            (
                {"desiredNumberScheduled": 3, "observedGeneration": 3},
                {"generation": 4},
                None,
            ),
            ({}, {"generation": 1}, None),
            ({"desiredNumberScheduled": "3"}, {}, None),
            ([], {}, None),
        ],
    )
    def test_a_daemon_sets_count_is_believed_where_it_is_of_the_present_spec(
        self, status: Any, metadata: dict[str, Any], expected: int | None
    ) -> None:
        found = controller({}, status, kind="DaemonSet", **metadata)
        assert expected == found.hosts_wanted

    @pytest.mark.parametrize(
        ("spec", "annotations", "expected"),
        [
            ({"paused": True}, {}, True),
            ({"paused": False}, {}, False),
            ({"paused": "true"}, {}, False),
            ({}, {"strimzi.io/pause-reconciliation": "true"}, True),
            ({}, {"strimzi.io/pause-reconciliation": "false"}, False),
            ({}, {"example.com/paused": "true"}, True),
            ({}, {"cluster.x-k8s.io/paused": "true"}, True),
            ({}, {"example.com/reconcile-pause": "true"}, True),
            ({}, {"paused": "true"}, True),
            ({}, {"cnpg.io/reconciliationLoop": "disabled"}, True),
            ({}, {"eck.k8s.elastic.co/managed": "false"}, True),
            ({}, {"eck.k8s.elastic.co/managed": "true"}, False),
            ({}, {"example.com/managed-by": "false"}, False),
            ({}, {"example.com/unpaused": "true"}, False),
            ({}, {"example.com/paused-by": "true"}, False),
            ({}, None, False),
        ],
        ids=str,
    )
    def test_is_paused_where_somebody_told_its_operator_so(
        self, spec: dict[str, Any], annotations: Any, expected: bool
    ) -> None:
        assert expected is controller(spec, annotations=annotations).paused

    def test_tells_who_controls_it_and_whether_it_goes(self) -> None:
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mec", "uid": "d-1", "controller": True}
        aside = {"kind": "ConfigMap", "name": "c", "uid": "c-1"}
        found = controller({}, ownerReferences=[aside, deployment], deletionTimestamp=at(-5))
        assert ("Deployment mec", True) == (found.owner and found.owner.called, found.deleting)
        assert ("StatefulSet mec", "apps") == (found.reference.called, found.reference.group)

    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ([{"type": "Complete", "status": "True"}], True),
            ([{"type": "Complete", "status": "False"}], False),
            ([{"type": "Failed", "status": "True"}], False),
            ({"complete": "yes"}, False),
            ([{"kind": "Complete"}], False),
            (None, False),
        ],
        ids=str,
    )
    def test_reads_its_conditions_where_they_are_such(self, conditions: Any, expected: bool) -> None:
        assert expected is bool(controller({}, {"conditions": conditions}, kind="Job").true_condition("Complete"))

    @pytest.mark.parametrize("found", [{}, {"metadata": {"name": "mec"}}, {"metadata": None}], ids=str)
    def test_without_name_and_uid_it_is_none(self, found: dict[str, Any]) -> None:
        with pytest.raises((KeyError, ValueError)):
            Controller.read(found)


def test_metadata_takes_its_names_in_either_case() -> None:
    """The record keeps what was pinned under our own names."""
    data = {"name": "mec-0", "uid": "uid-1"}
    assert Metadata.model_validate(data | {"generateName": "mec-"}) == Metadata.model_validate(
        data | {"generate_name": "mec-"}
    )


def test_whatever_others_wrote_for_a_person_is_fit_to_be_told_as_soon_as_it_is_read() -> None:
    views = [*FromApi.__subclasses__(), *Explained.__subclasses__()]
    seen = [kind for kind in views if "message" in kind.model_fields]
    assert {Explained, Terminated, Condition, PodStatus, PodEvent} == {*seen}
    for kind in seen:
        said = {"reason": "pass=hunter2", "message": "two\nlines of AccountKey=hunter2", "type": "x", "status": "False"}
        read = kind.model_validate(said)
        assert ("pass=***", "two lines of AccountKey=***") == operator.attrgetter("reason", "message")(read)

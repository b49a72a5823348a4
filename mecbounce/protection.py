"""Ways to switch off a pod's shutdown protection. Each is an object with the method `disable`; yours may be one too."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mecbounce.record import GivenProtection

if TYPE_CHECKING:
    from mecbounce.kubernetes_api.client import KubernetesCluster
    from mecbounce.kubernetes_api.objects import Pod


class ShutdownProtection(Protocol):
    """Whatever keeps the pod from shutting down."""

    def disable(self, pod: Pod) -> bool | None:
        """Switch it off for this incarnation, the pod as it was just seen. False: there was nothing to switch off.

        It may raise anything: the bounce says so and goes on. It has the API timeout to return; after that the bounce
        no longer waits for it, though it may still take effect.
        """
        ...


def switch_off(protection: ShutdownProtection, pod: Pod, seconds: float) -> bool | None:
    """Give what `disable` returns, or raise what it raises. Raises TimeoutError after `seconds`.

    It runs in a thread of its own: a user's code that hangs must not hang the bounce.
    """
    returned: list[bool | None] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(protection.disable(pod))
        except BaseException as error:  # noqa: BLE001 -- raised again below; SystemExit would end this thread alone
            raised.append(error)

    thread = threading.Thread(target=run, name="mecbounce-protection", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        error = raised[0]
        raise error if isinstance(error, Exception) else RuntimeError(f"it raised {type(error).__name__}")
    if not returned:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return returned[0]


@dataclass(frozen=True)
class AnnotationProtection:
    """An annotation of the pod. The patch has the UID as its precondition: no other incarnation is changed.

    A pod without the annotation is not protected, and is left as it is.
    """

    cluster: KubernetesCluster
    key: str
    off_value: str

    def disable(self, pod: Pod) -> bool:
        if pod.metadata.annotations.get(self.key) in (None, self.off_value):
            return False
        self.cluster.annotate_pod(pod, self.key, self.off_value)
        return True


@dataclass(frozen=True)
class HttpProtection:
    """A request to the application, through the API server's pod proxy.

    The proxy takes a name, not a UID. The UID is checked right before; a pod that is replaced in that instant would
    get the request.
    https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
    """

    cluster: KubernetesCluster
    port: int
    path: str
    method: str = "POST"

    def disable(self, pod: Pod) -> bool:
        self.cluster.expect_incarnation(pod)
        self.cluster.proxy_pod(pod, self.port, self.path, self.method)
        return True


@dataclass(frozen=True)
class ExecProtection:
    """A command in one of the pod's containers (the first unless named); exit status 0 means switched off.

    Exec takes a name, not a UID. The UID is checked right before; a pod that is replaced in that instant would run it.
    """

    cluster: KubernetesCluster
    command: tuple[str, ...]
    container: str | None = None

    def disable(self, pod: Pod) -> bool:
        self.cluster.expect_incarnation(pod)
        self.cluster.exec_pod(pod, self.command, self.container or pod.spec.containers[0].name)
        return True


def given(protection: ShutdownProtection | None) -> GivenProtection | None:
    """Name a protection for the record. None: there is none."""
    if protection is None:
        return None
    key = protection.key if isinstance(protection, AnnotationProtection) else ""
    return GivenProtection(kind=type(protection).__name__, annotation=key)

"""Ways to switch a pod's shutdown protection off, each an object with `disable(pod)`.

Any object of your own with that method will do. It gets the pod as it was just seen, may return False where there
was nothing to switch off, and may raise whatever it likes: the bounce then says so and goes on. It has the API
timeout to answer; what answers later than that is no longer waited for, though it may still take effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mecbounce.kubernetes_api.client import KubernetesCluster
    from mecbounce.kubernetes_api.objects import Pod


@dataclass(frozen=True)
class AnnotationProtection:
    """An annotation of the pod. It is patched with the UID as precondition, so no other incarnation can be hit.

    Only an annotation that is there is changed: a pod without it is not protected.
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

    The proxy goes by name: the pod is looked at right before, yet a pod replaced in that instant would be hit.
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

    Exec goes by name: the pod is looked at right before, yet a pod replaced in that instant would be hit.
    """

    cluster: KubernetesCluster
    command: tuple[str, ...]
    container: str | None = None

    def disable(self, pod: Pod) -> bool:
        self.cluster.expect_incarnation(pod)
        self.cluster.exec_pod(pod, self.command, self.container or pod.spec.containers[0].name)
        return True

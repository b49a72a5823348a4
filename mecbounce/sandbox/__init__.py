"""An embedded Kubernetes cluster for tests and demos: an API server on loopback, a small kubelet and an operator.

with Sandbox() as sandbox:
    sandbox.add_node("mec-0")
    ...  # any client with sandbox.kubeconfig
"""

from mecbounce.sandbox.behaviour import Behaviour
from mecbounce.sandbox.cluster import Sandbox
from mecbounce.sandbox.requests import ProxyRequest, Request
from mecbounce.sandbox.resources import ResourceType

__all__ = ["Behaviour", "ProxyRequest", "Request", "ResourceType", "Sandbox"]

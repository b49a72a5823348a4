"""How the Kubernetes API behaves: the same checks, over plain HTTP, against the embedded cluster and a real one."""

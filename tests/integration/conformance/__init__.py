"""The semantics of the Kubernetes API, asked over plain HTTP of the embedded cluster and of a real one alike."""

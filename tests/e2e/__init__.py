"""mecbounce against a real Kubernetes: real pods, real kubelets, and a small operator of the tests' own."""

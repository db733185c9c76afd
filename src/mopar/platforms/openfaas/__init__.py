"""OpenFaaS, on Kubernetes or faasd: each function of a plan is a function there."""

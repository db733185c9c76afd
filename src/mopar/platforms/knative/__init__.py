"""Kubernetes: each function of a plan is a Knative service, a Cloud Run service, or a Deployment with its Service."""

"""AWS Lambda: each function of a plan is one of Lambda's, as a zip archive or a container image."""

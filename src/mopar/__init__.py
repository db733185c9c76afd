"""Cut a trained model into serverless functions of the right size."""

__version__ = "0.1.0"

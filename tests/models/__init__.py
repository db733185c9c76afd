"""The reference models of tests and benchmarks: ``python -m tests.models NAME -o FILE.onnx``."""

from tests.models.registry import MODELS, ReferenceModel, materialise, sample_inputs, small_names

__all__ = ["MODELS", "ReferenceModel", "materialise", "sample_inputs", "small_names"]

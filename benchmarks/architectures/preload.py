"""Imported once, by the process from which all exports are forked: the libraries, and the exporter's tables.

No module is run here: an export leaves state behind in torch that changes the next one.
"""

import timm
import torch._functorch.aot_autograd
import torch.export._trace
import torchvision.models
import transformers.modeling_utils
from torch.onnx._internal.exporter._registration import ONNXRegistry

import benchmarks.architectures.preparing

__all__ = ["benchmarks", "timm", "torch", "torchvision", "transformers"]

ONNXRegistry.from_torchlib()  # fills the caches that every export reads

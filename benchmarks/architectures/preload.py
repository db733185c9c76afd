"""Imported once, by the process that those of all exports are forked from: the libraries, and the exporter's tables.

No module is run here: what one export leaves behind in torch changes the next one.
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

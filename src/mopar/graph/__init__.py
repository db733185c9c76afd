"""ONNX in: the canonical form of a model, its layers, cut positions, and any run of layers as a model."""

from mopar.graph.cuts import Cut, arranged, boundary, cut_positions
from mopar.graph.engine import check_loadable
from mopar.graph.extract import extract
from mopar.graph.kernels import Kernel, kernel_map
from mopar.graph.layers import Layer, layers_of
from mopar.graph.load import load_model, read_interface
from mopar.graph.model import Model, tensor_shapes
from mopar.graph.save import save_model

__all__ = [
    "Cut",
    "Kernel",
    "Layer",
    "Model",
    "arranged",
    "boundary",
    "check_loadable",
    "cut_positions",
    "extract",
    "kernel_map",
    "layers_of",
    "load_model",
    "read_interface",
    "save_model",
    "tensor_shapes",
]

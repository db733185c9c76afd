"""ONNX models: canonical form, layers, cut positions, and extraction of consecutive layers as a model."""

from mopar.graph.cuts import Cut, boundary, cut_positions
from mopar.graph.extract import extract
from mopar.graph.layers import Layer, layers_of
from mopar.graph.load import load_model, read_interface
from mopar.graph.loadable import check_loadable
from mopar.graph.model import Model, tensor_shapes
from mopar.graph.save import save_model

__all__ = [
    "Cut",
    "Layer",
    "Model",
    "boundary",
    "check_loadable",
    "cut_positions",
    "extract",
    "layers_of",
    "load_model",
    "read_interface",
    "reordered",
    "save_model",
    "tensor_shapes",
]

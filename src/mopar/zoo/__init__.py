"""The reference models: architectures that everybody knows, each one call away from an ONNX file.

torch and what else a model needs are imported only to export it, in a process of its own.
"""

from mopar.zoo.catalogue import find_model, zoo_models
from mopar.zoo.export import export_model, inputs_path
from mopar.zoo.inputs import zoo_inputs
from mopar.zoo.model import Built, Shipped, ZooInput, ZooModel

__all__ = [
    "Built",
    "Shipped",
    "ZooInput",
    "ZooModel",
    "export_model",
    "find_model",
    "inputs_path",
    "zoo_inputs",
    "zoo_models",
]

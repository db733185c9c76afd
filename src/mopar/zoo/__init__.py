"""The reference models: well-known architectures, each exported to an ONNX file by one call.

torch and other libraries that a model needs are imported only in the process that exports it.
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

"""Checks that ONNX Runtime has a kernel for every node of a model."""

import re

from mopar.engine.session import engine_reason, load_error
from mopar.graph.model import Model
from mopar.types import ModelError


def check_loadable(model: Model) -> None:
    """Check that ONNX Runtime can load the model.

    Raises:
        ModelError: a kernel is missing, or the engine refuses the graph for another reason, which the message gives.
    """
    cause = load_error(model.ir)
    if cause is not None:
        raise ModelError(f"{model.path.name}: {_refusal(model, cause)}") from cause


def _refusal(model: Model, cause: Exception) -> str:
    """One line on why the engine refuses the model; it names the node where the engine does."""
    line = engine_reason(cause)
    nodes = list(model.ir.graph.all_nodes())
    named = [node for node in nodes if node.name and re.search(rf"[(']{re.escape(node.name)}[)':]", line)]
    suspects = named or [node for node in nodes if re.search(rf"\b{re.escape(node.op_type)}\b", line)]
    if not suspects:
        return f"ONNX Runtime cannot load it: {line}"
    node = suspects[0]
    operator = f"{node.domain or 'ai.onnx'}::{node.op_type}"
    return f"ONNX Runtime cannot load operator {operator} of node {node.name!r}: {line}"

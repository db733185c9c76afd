"""Names of what a captured module takes and gives: its parameters, and the keys of its results."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir
    import torch

_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-]+")
_OUTPUT = "output"


def name_interface(program: Any) -> None:
    """Name the inputs and outputs of an ``ONNXProgram`` after the module's, where the exporter named them otherwise.

    An output gets the keys on the way to it, joined by dots: ``logits``, ``detections.boxes``, ``hidden_states.0``.
    What has no key is ``output``, or ``output_0``, ``output_1`` .. where there are several.
    """
    exported = program.exported_program
    graph = program.model.graph
    for node, value in zip(tensor_inputs(exported), graph.inputs, strict=False):
        if value.name == f"{node.name}_orig":  # so called by the exporter where the module returns its input
            _rename(graph, value, node.name, "result")
    paths = _tensor_outputs(exported)
    if len(paths) == len(graph.outputs):
        for value, name in zip(graph.outputs, _unique(paths, {str(item.name) for item in graph.inputs}), strict=True):
            _rename(graph, value, name, "inner")


@contextlib.contextmanager
def dataclasses_as_dicts(module: "torch.nn.Module") -> Iterator[None]:
    """Let a module give dicts in place of dataclasses that torch does not know, which it could not capture."""
    handle = module.register_forward_hook(lambda _module, _arguments, result: _as_dicts(result))
    try:
        yield
    finally:
        handle.remove()


def _as_dicts(tree: Any) -> Any:
    from torch.utils import _pytree

    def plain(leaf: Any) -> Any:
        if not dataclasses.is_dataclass(leaf) or isinstance(leaf, type):
            return leaf
        fields = {field.name: getattr(leaf, field.name) for field in dataclasses.fields(leaf)}
        return {name: _as_dicts(value) for name, value in fields.items() if value is not None}

    known = not any(dataclasses.is_dataclass(leaf) for leaf in _pytree.tree_leaves(tree))
    return tree if known else _pytree.tree_map(plain, tree)


def tensor_inputs(exported: "torch.export.ExportedProgram") -> "list[torch.fx.Node]":
    """The inputs that a caller gives and that are tensors, in order; ``meta["val"]`` of each has its shape."""
    wanted = set(exported.graph_signature.user_inputs)
    return [
        node
        for node in exported.graph.find_nodes(op="placeholder")
        if node.name in wanted and hasattr(node.meta.get("val"), "shape")
    ]


def _tensor_outputs(exported: "torch.export.ExportedProgram") -> list[str]:
    """For each output that is a tensor the keys that lead to it, as one name."""
    from torch.export.graph_signature import OutputKind, TensorArgument
    from torch.utils import _pytree

    specs = [spec for spec in exported.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    structure = exported.call_spec.out_spec
    if structure is None or structure.num_leaves != len(specs):
        return []
    tree = _pytree.tree_unflatten([_Leaf() for _ in specs], structure)
    leaves, _ = _pytree.tree_flatten_with_path(tree)
    found = [path for (path, _), spec in zip(leaves, specs, strict=True) if isinstance(spec.arg, TensorArgument)]
    return [_name_of(path, alone=len(found) == 1) for path in found]


class _Leaf:
    """What stands for a tensor in a result that was never computed."""


def _name_of(path: Sequence[Any], *, alone: bool) -> str:
    """A name for what stands at ``path``; a leading index is of no use where there is no other output."""
    keys = [_key(step) for step in path]
    if not keys or (alone and all(isinstance(key, int) for key in keys)):
        return _OUTPUT
    words = [_UNSAFE.sub("_", str(key)) or "_" for key in keys]
    if isinstance(keys[0], int):
        words[0] = f"{_OUTPUT}_{words[0]}"
    return ".".join(words)


def _key(step: Any) -> Any:
    """The index, the dict's key or the attribute of one step of torch's paths."""
    for attribute in ("key", "idx", "name"):
        if hasattr(step, attribute):
            return getattr(step, attribute)
    return str(step)


def _unique(names: Sequence[str], taken: set[str]) -> list[str]:
    """The names, numbered where one stands twice or is an input's."""
    found: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken or candidate in found:
            candidate, number = f"{name}_{number}", number + 1
        found.append(candidate)
    return found


def _rename(graph: "onnx_ir.Graph", value: "onnx_ir.Value", name: str, suffix: str) -> None:
    """Give the value this name; another that bears it gets a suffix."""
    if value.name == name:
        return
    values = {str(item.name): item for item in _values(graph)}
    other = values.get(name)
    if other is not None:
        free = f"{name}_{suffix}"
        while free in values:
            free += "_"
        other.name = free
    value.name = name


def _values(graph: "onnx_ir.Graph") -> "Iterator[onnx_ir.Value]":
    """Every value of the graph and of the bodies in it."""
    import onnx_ir

    yield from graph.inputs
    yield from graph.initializers.values()
    for node in onnx_ir.traversal.RecursiveGraphIterator(graph):
        yield from node.outputs
        for attribute in node.attributes.values():
            if attribute.type == onnx_ir.AttributeType.GRAPH:
                yield from attribute.as_graph().inputs
                yield from attribute.as_graph().initializers.values()

"""Names of a captured module's inputs and outputs: the parameters of ``forward`` and the keys of its result."""

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

    An output is named after the keys of its path, joined by dots: ``logits``, ``detections.boxes``,
    ``hidden_states.0``. Without keys it is ``output``, or ``output_0``, ``output_1`` .. where there are several.
    """
    exported = program.exported_program
    graph = program.model.graph
    for node, value in zip(tensor_inputs(exported), graph.inputs, strict=False):
        if value.name == f"{node.name}_orig":  # the exporter's name where the module returns its input
            _rename(graph, value, node.name, "result")
    paths = _tensor_outputs(exported)
    if len(paths) == len(graph.outputs):
        for value, name in zip(graph.outputs, _unique(paths, {str(item.name) for item in graph.inputs}), strict=True):
            _rename(graph, value, name, "inner")


@contextlib.contextmanager
def dataclasses_as_dicts(module: "torch.nn.Module") -> Iterator[None]:
    """Make a module return dicts instead of dataclasses that torch does not know and therefore cannot capture."""
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
    """The tensor inputs that a caller passes, in order; ``meta["val"]`` of each has its shape."""
    wanted = set(exported.graph_signature.user_inputs)
    return [
        node
        for node in exported.graph.find_nodes(op="placeholder")
        if node.name in wanted and hasattr(node.meta.get("val"), "shape")
    ]


def _tensor_outputs(exported: "torch.export.ExportedProgram") -> list[str]:
    """The name of each tensor output, made of the keys on its path."""
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
    """A placeholder for a tensor in the structure of a result."""


def _name_of(path: Sequence[Any], *, alone: bool) -> str:
    """The name of the output at ``path``; a leading index is dropped where it is the only output."""
    keys = [_key(step) for step in path]
    if not keys or (alone and all(isinstance(key, int) for key in keys)):
        return _OUTPUT
    words = [_UNSAFE.sub("_", str(key)) or "_" for key in keys]
    if isinstance(keys[0], int):
        words[0] = f"{_OUTPUT}_{words[0]}"
    return ".".join(words)


def _key(step: Any) -> Any:
    """The index, dict key or attribute of one element of a torch path."""
    for attribute in ("key", "idx", "name"):
        if hasattr(step, attribute):
            return getattr(step, attribute)
    return str(step)


def _unique(names: Sequence[str], taken: set[str]) -> list[str]:
    """The names, with a number appended to duplicates and to names of inputs."""
    found: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken or candidate in found:
            candidate, number = f"{name}_{number}", number + 1
        found.append(candidate)
    return found


def _rename(graph: "onnx_ir.Graph", value: "onnx_ir.Value", name: str, suffix: str) -> None:
    """Rename a value; another value of that name gets a suffix."""
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
    """Every value of the graph and of its subgraphs."""
    import onnx_ir

    yield from graph.inputs
    yield from graph.initializers.values()
    for node in onnx_ir.traversal.RecursiveGraphIterator(graph):
        yield from node.outputs
        for attribute in node.attributes.values():
            if attribute.type == onnx_ir.AttributeType.GRAPH:
                yield from attribute.as_graph().inputs
                yield from attribute.as_graph().initializers.values()

"""What requests have in common, whatever carries them: why one is refused, and how inputs are described."""

from mopar.runtime.engine import STRING, Tensor, element_count, packed_bytes

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Graph, Port

_MOST_ELEMENTS = 1 << 48
"""Where one dimension is 0 there are no data that would bound the others; no engine can address such sizes."""


class RefusedError(Exception):
    """A request is refused, with a status of HTTP and one line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def objects_of(item: "dict[object, object]", key: str) -> "list[dict[object, object]]":
    """A list of objects in a request; empty where it is absent. Raises RefusedError where it is something else."""
    value = item.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise RefusedError(400, f"{key} must be a list of objects")
    return value


def inputs_of(
    request: "dict[object, object]", graph: "Graph"
) -> "list[tuple[int, Port, tuple[int, ...], dict[object, object]]]":
    """The inputs of a request: index, port, shape and JSON of each, in the request's order.

    Raises:
        RefusedError: they are not the graph's, each once, with its types.
    """
    ports = {port.name: index for index, port in enumerate(graph.inputs)}
    found = []
    for item in objects_of(request, "inputs"):
        index = _index(item, ports)
        found.append((index, graph.inputs[index], _shape(item, graph.inputs[index]), item))
    if sorted([index for index, _, _, _ in found]) != list(range(len(graph.inputs))):
        raise RefusedError(400, f"the graph takes each of {', '.join(ports) or 'no inputs'} once")
    return found


def sized_tensor(port: "Port", shape: "tuple[int, ...]", nbytes: int) -> Tensor:
    """A tensor of an input without an address. Raises RefusedError where its shape needs another number of bytes."""
    needed = nbytes if port.code == STRING else packed_bytes(port.code, shape)
    if nbytes != needed:
        raise RefusedError(400, f"input {port.name} has {nbytes} bytes, its shape needs {needed}")
    return Tensor(port.code, shape, 0, nbytes)


def _index(item: "dict[object, object]", ports: "dict[str, int]") -> int:
    name = item.get("name")
    index = ports.get(name) if isinstance(name, str) else None
    if index is None:
        raise RefusedError(400, f"an input is unknown: the graph takes {', '.join(ports) or 'none'}")
    return index


def _shape(item: "dict[object, object]", port: "Port") -> "tuple[int, ...]":
    shape = item.get("shape")
    if not isinstance(shape, list) or not all(type(dim) is int and dim >= 0 for dim in shape):
        raise RefusedError(400, f"input {port.name}: shape must be a list of sizes")
    if item.get("datatype") != port.datatype:
        raise RefusedError(400, f"input {port.name} must be {port.datatype}")
    if element_count(tuple([max(dim, 1) for dim in shape])) >= _MOST_ELEMENTS:
        raise RefusedError(400, f"input {port.name}: no tensor can have this shape")
    return tuple(shape)

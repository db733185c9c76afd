"""The Open Inference Protocol's inference messages: the JSON before a body's binary tensors."""

from mopar.runtime.jsontext import parse, quoted
from mopar.runtime.request import RefusedError, inputs_of, objects_of, sized_tensor

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Graph, Port
    from mopar.runtime.engine import Tensor


class Inference:
    """What a request contains.

    Attributes:
        id: to echo; None where the request has none.
        inputs: indices of the graph's inputs, and their tensors without an address, in the order of the body.
        outputs: indices of the requested outputs.
    """

    __slots__ = ("id", "inputs", "outputs")

    def __init__(self, name: "str | None", inputs: "list[tuple[int, Tensor]]", outputs: "list[int]") -> None:
        self.id = name
        self.inputs = inputs
        self.outputs = outputs


def read_inference(text: "bytes | bytearray | memoryview", graph: "Graph", binary_bytes: int) -> Inference:
    """The inference that a request's JSON describes.

    Args:
        text: the JSON.
        graph: to run.
        binary_bytes: that follow in the body.

    Raises:
        RefusedError: it is malformed, or does not fit the graph.
    """
    try:
        request = parse(text)
    except ValueError as cause:
        raise RefusedError(400, f"the request is not valid JSON: {cause}") from cause
    if not isinstance(request, dict):
        raise RefusedError(400, "the request must be an object of JSON")
    name = request.get("id")
    if name is not None and not isinstance(name, str):
        raise RefusedError(400, "id must be text")
    inputs = [
        (index, sized_tensor(port, shape, _binary_bytes(port, item)))
        for index, port, shape, item in inputs_of(request, graph)
    ]
    given = sum(tensor.nbytes for _, tensor in inputs)
    if given != binary_bytes:
        raise RefusedError(400, f"the inputs have {given} bytes, {binary_bytes} follow the JSON")
    return Inference(name, inputs, _outputs(request, graph))


def write_answer(graph: "Graph", inference: Inference, made: "list[Tensor]") -> bytes:
    """The JSON of an answer with these outputs, whose data follow it."""
    outputs = [_described(graph.outputs[index], tensor) for index, tensor in zip(inference.outputs, made, strict=True)]
    name = "" if inference.id is None else f'"id":{quoted(inference.id)},'
    return f'{{{name}"model_name":{quoted(graph.id)},"outputs":[{",".join(outputs)}]}}'.encode()


def write_metadata(graph: "Graph") -> bytes:
    """The JSON of a graph's inputs and outputs; without shapes, which the gateway checks."""
    sides = [
        ",".join(f'{{"name":{quoted(port.name)},"datatype":{quoted(port.datatype)},"shape":[-1]}}' for port in side)
        for side in (graph.inputs, graph.outputs)
    ]
    return (
        f'{{"name":{quoted(graph.id)},"platform":"onnxruntime_onnx","inputs":[{sides[0]}],"outputs":[{sides[1]}]}}'
    ).encode()


def write_error(text: str) -> bytes:
    """The JSON of an error: one line."""
    return f'{{"error":{quoted(" ".join(text.split()))}}}'.encode()


def _described(port: "Port", tensor: "Tensor") -> str:
    shape = ",".join(map(str, tensor.shape))
    return (
        f'{{"name":{quoted(port.name)},"datatype":{quoted(port.datatype)},"shape":[{shape}],'
        f'"parameters":{{"binary_data_size":{tensor.nbytes}}}}}'
    )


def _binary_bytes(port: "Port", item: "dict[object, object]") -> int:
    size = _parameters(item).get("binary_data_size")
    if type(size) is not int or size < 0:
        raise RefusedError(400, f"input {port.name}: send its data with the binary tensor extension (binary_data_size)")
    return size


def _outputs(request: "dict[object, object]", graph: "Graph") -> "list[int]":
    """The requested outputs. The request is refused unless all of them are requested as binary data."""
    default = _parameters(request).get("binary_data_output")
    ports = {port.name: index for index, port in enumerate(graph.outputs)}
    everything: list[dict[object, object]] = [{"name": name} for name in ports]
    found = []
    for item in objects_of(request, "outputs") or everything:
        name = item.get("name")
        if not isinstance(name, str) or name not in ports or ports[name] in found:
            raise RefusedError(400, f"an output is unknown, or asked for twice: the graph gives {', '.join(ports)}")
        if _parameters(item).get("binary_data", default) is not True:
            raise RefusedError(400, f"output {name}: ask for it with the binary tensor extension (binary_data_output)")
        found.append(ports[name])
    return found


def _parameters(item: "dict[object, object]") -> "dict[object, object]":
    value = item.get("parameters", {})
    if not isinstance(value, dict):
        raise RefusedError(400, "parameters must be an object")
    return value

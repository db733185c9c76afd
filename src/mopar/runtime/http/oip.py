"""The Open Inference Protocol's inference messages: the JSON before a body's binary tensors."""

from mopar.runtime.encoded import known_encoding, sized_input
from mopar.runtime.jsontext import parse, quoted
from mopar.runtime.request import RefusedError, inputs_of, objects_of

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.config import Graph, Port
    from mopar.runtime.encoded import Encoding
    from mopar.runtime.engine import Tensor

    Code = tuple[Encoding, memoryview]


class Inference:
    """What a request contains.

    Attributes:
        id: to echo; None where the request has none.
        inputs: indices of the graph's inputs, and their tensors without an address, in the order of the body.
        encodings: of the inputs, in the same order; None for those that are sent as they are.
        outputs: indices of the requested outputs.
        wanted: the codec of each, in the same order; None where it is to be sent as it is.
    """

    __slots__ = ("encodings", "id", "inputs", "outputs", "wanted")

    def __init__(
        self,
        name: "str | None",
        inputs: "list[tuple[int, Tensor]]",
        encodings: "list[Encoding | None]",
        outputs: "dict[int, str | None]",
    ) -> None:
        self.id = name
        self.inputs = inputs
        self.encodings = encodings
        self.outputs = list(outputs)
        self.wanted = list(outputs.values())


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
    inputs, encodings = [], []
    given = 0
    for index, port, shape, item in inputs_of(request, graph):
        sent = _binary_bytes(port, item)
        tensor, encoding = sized_input(port, shape, sent, _parameters(item))
        inputs.append((index, tensor))
        encodings.append(encoding)
        given += sent
    if given != binary_bytes:
        raise RefusedError(400, f"the inputs have {given} bytes, {binary_bytes} follow the JSON")
    return Inference(name, inputs, encodings, _outputs(request, graph))


def write_answer(graph: "Graph", inference: Inference, made: "list[Tensor]", codes: "list[Code | None]") -> bytes:
    """The JSON of an answer with these outputs, whose data, or codes, follow it."""
    outputs = [
        _described(graph.outputs[index], tensor, code)
        for index, tensor, code in zip(inference.outputs, made, codes, strict=True)
    ]
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


def _described(port: "Port", tensor: "Tensor", code: "Code | None") -> str:
    shape = ",".join(map(str, tensor.shape))
    sent, how = tensor.nbytes, ""
    if code is not None:
        sent, how = code[0].nbytes, f",{code[0].described(tensor.nbytes)}"
    return (
        f'{{"name":{quoted(port.name)},"datatype":{quoted(port.datatype)},"shape":[{shape}],'
        f'"parameters":{{"binary_data_size":{sent}{how}}}}}'
    )


def _binary_bytes(port: "Port", item: "dict[object, object]") -> int:
    size = _parameters(item).get("binary_data_size")
    if type(size) is not int or size < 0:
        raise RefusedError(400, f"input {port.name}: send its data with the binary tensor extension (binary_data_size)")
    return size


def _outputs(request: "dict[object, object]", graph: "Graph") -> "dict[int, str | None]":
    """The requested outputs with their codecs. The request is refused unless all are requested as binary data."""
    default = _parameters(request).get("binary_data_output")
    ports = {port.name: index for index, port in enumerate(graph.outputs)}
    everything: list[dict[object, object]] = [{"name": name} for name in ports]
    found: dict[int, str | None] = {}
    for item in objects_of(request, "outputs") or everything:
        name = item.get("name")
        if not isinstance(name, str) or name not in ports or ports[name] in found:
            raise RefusedError(400, f"an output is unknown, or asked for twice: the graph gives {', '.join(ports)}")
        parameters = _parameters(item)
        if parameters.get("binary_data", default) is not True:
            raise RefusedError(400, f"output {name}: ask for it with the binary tensor extension (binary_data_output)")
        text = parameters.get("encoding")
        found[ports[name]] = None if text is None else known_encoding(f"output {name}", text)
    return found


def _parameters(item: "dict[object, object]") -> "dict[object, object]":
    value = item.get("parameters", {})
    if not isinstance(value, dict):
        raise RefusedError(400, "parameters must be an object")
    return value

"""What a function serves, read from one JSON file.

    {"function": "f0", "library": "/opt/libonnxruntime.so.1", "threads": 1, "max_body_bytes": 67108864, "graphs": [
      {"id": "g0", "digest": "5f1c..", "path": "g0.onnx", "flags": 3,
       "packed": {"cpu_kind": "x86_64-avx2-fma", "path": "packed/g0.onnx", "flags": 2},
       "inputs": [{"name": "x", "datatype": "FP32", "code": 1}], "outputs": [..]}]}

``flags`` is a sum of ``frames.OPTIMIZE``, ``PREPACK``, ``ARENA`` and ``MEMORY_PATTERN``; ``datatype`` is the protocol's
name of an element type, and ``code`` ONNX's number of it. Relative paths are relative to the file. ``packed`` may be
absent; it is what is loaded where the CPU is of that kind. ``digest`` may be absent; a gateway can check it.

On Lambda, ``threads`` may be 0: as many as the function's memory buys CPUs. Either form of a graph may have ``weights``
there, files beside the graph's that the function fetches before it loads:
``[{"name": "g0.weights", "bucket": "b", "key": "k", "bytes": 123, "sha256": "5f1c.."}]``.

``lossless`` is the path of Blosc2's library where tensors are sent encoded with it (``mopar.runtime.encoded``); it may
be absent. An output may then have ``most_code_ratio``, the bytes that its code may have per byte of the tensor, which
the function's memory is planned for.

The environment variable ``MOPAR_REVISION`` says what the function was deployed as; its health answers repeat it.
"""

import os

from mopar.runtime.jsontext import parse

_WORDS = {str: "text", int: "a number", list: "a list", dict: "an object"}


class ConfigError(Exception):
    """The file cannot be read, or is not of the form above."""


class Port:
    """An input or output of a graph."""

    __slots__ = ("code", "datatype", "most_code_ratio", "name")

    def __init__(self, item: "dict[object, object]") -> None:
        self.name = _text(item, "name")
        self.datatype = _text(item, "datatype")
        self.code = _number(item, "code")
        self.most_code_ratio = _ratio(item, "most_code_ratio")


class Weights:
    """A file in a bucket: its name beside the graph, its object, and its bytes and digest."""

    __slots__ = ("bucket", "key", "name", "nbytes", "sha256")

    def __init__(self, item: "dict[object, object]") -> None:
        self.name, self.bucket = _text(item, "name"), _text(item, "bucket")
        self.key, self.sha256 = _text(item, "key"), _text(item, "sha256")
        self.nbytes = _number(item, "bytes")


class Graph:
    """A graph and how it is loaded on this machine."""

    __slots__ = ("digest", "flags", "id", "inputs", "outputs", "path", "weights")

    def __init__(self, item: "dict[object, object]", folder: str) -> None:
        self.id = _text(item, "id")
        self.digest = _text(item, "digest") if "digest" in item else ""
        form = _form(item)
        self.path = os.path.join(folder, _text(form, "path"))  # noqa: PTH118 - pathlib costs every function 1 MiB
        self.flags = _number(form, "flags")
        self.weights = [Weights(file) for file in _objects(form, "weights")] if "weights" in form else []
        self.inputs = [Port(port) for port in _objects(item, "inputs")]
        self.outputs = [Port(port) for port in _objects(item, "outputs")]


class Config:
    """A function: its name, its libraries, its graphs, how large a request's body may be, and its revision."""

    __slots__ = ("function", "graphs", "library", "lossless", "max_body_bytes", "revision", "threads")

    def __init__(self, item: "dict[object, object]", folder: str) -> None:
        self.function = _text(item, "function")
        self.library = os.path.join(folder, _text(item, "library"))  # noqa: PTH118 - the same
        self.lossless = ""
        if "lossless" in item:
            self.lossless = os.path.join(folder, _text(item, "lossless"))  # noqa: PTH118 - the same
        self.threads = _number(item, "threads")
        self.max_body_bytes = _number(item, "max_body_bytes")
        self.graphs = [Graph(graph, folder) for graph in _objects(item, "graphs")]
        self.revision = os.environ.get("MOPAR_REVISION", "")


def read_config(path: str) -> Config:
    """The configuration in a file. Raises ConfigError, whose message is one line."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            value = parse(file.read())
        if not isinstance(value, dict):
            raise ConfigError("it must be an object")  # noqa: TRY301 - the file's name is added below
        return Config(value, os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH120 - the same
    except OSError as cause:
        raise ConfigError(f"{path}: {cause.strerror}") from cause
    except (ValueError, ConfigError) as cause:
        raise ConfigError(f"{path}: {cause}") from cause


def _form(item: "dict[object, object]") -> "dict[object, object]":
    """Of a graph, the form that this machine's CPU loads: the packed one where it is of the same kind."""
    packed = item.get("packed")
    if packed is None:
        return item
    if not isinstance(packed, dict):
        raise _wrong("packed", dict)
    from mopar.runtime.cpu import own_cpu_kind  # elsewhere the form was chosen already

    return packed if _text(packed, "cpu_kind") == own_cpu_kind() else item


def _text(item: "dict[object, object]", key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise _wrong(key, str)
    return value


def _number(item: "dict[object, object]", key: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(key, int)
    return value


def _ratio(item: "dict[object, object]", key: str) -> float:
    value = item.get(key, 1.0)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{key} must be a number from 0 to 1")
    return float(value)


def _objects(item: "dict[object, object]", key: str) -> "list[dict[object, object]]":
    value = item.get(key)
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ConfigError(f"{key} must be a list of objects")
    return value


def _wrong(key: str, kind: type) -> ConfigError:
    return ConfigError(f"{key} must be {_WORDS[kind]}")

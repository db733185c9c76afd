"""Requests of a hostile client, and how a response with 200 to one of them is checked."""

import json
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mopar.gateway.arrays import Array, numpy_dtype
from mopar.types import dtype_of_name, dtype_of_oip, oip_of

Values = Mapping[str, Array]
HUGE_SHAPES: tuple[list[Any], ...] = (
    [70368744177664, 0], [1 << 27, 0], [1 << 27, 0, 16], [0, 1 << 47, 16], [1 << 62, 1 << 62, 16], [1 << 31, 1 << 31],
    [-1, 4, 16], [0, 0, 0], [0, 4, 16], [1 << 63], [1 << 64, 1, 16], [1.5, 4, 16], ["1", 4, 16], [None], [[1], 4, 16],
    [1] * 64, [1] * 65, [1] * 5000, [1e308, 1, 16], [True, 4, 16], [1, 4, 17], [9, 4, 16], [1, 65, 16],
)  # fmt: skip
TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"-1e-999", b"9" * 400, b"9" * 5000, b"[" * 2000, b"{" * 2000, b"\xff",
    b'"\\ud800"', b"null", b"true", b'"', b"\\", b",", b"[],[]", b'"data":[1],', b'"inputs":[],',
    b'"parameters":{"classification":1},',
    b"\x00", b"\xef\xbb\xbf", b"//", b"'", b"0x10", b"+1", b"01", b"]", b"}", b" " * 5000,
)  # fmt: skip
INTEREST = b"HTTP/1.1 "


@dataclass(frozen=True, slots=True)
class Attack:
    """A request on a separate connection.

    Attributes:
        kind: what was done to it.
        head: everything before the body.
        body: as it is sent.
        json_length: length of the JSON that the request declares; None where it declares none.
        complete: whether it is a whole request, which must be answered.
        refused: whether a response with 200 would be wrong.
    """

    kind: str
    head: bytes
    body: bytes
    json_length: str | None = None
    complete: bool = True
    refused: bool = False


def document(values: Values, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """A good request's JSON, and the binary data behind it."""
    tensors, data = [], b""
    for name, value in values.items():
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": oip_of(dtype_of_name(value.dtype.name)),
            "shape": list(value.shape),
        }
        if binary:
            tensor["parameters"] = {"binary_data_size": value.nbytes}
            data += value.tobytes()
        else:
            tensor["data"] = value.ravel().tolist()
        tensors.append(tensor)
    return {"id": "7", "inputs": tensors, "parameters": {"binary_data_output": binary}}, data


def attack_of(path: str, request: Mapping[str, Any], data: bytes, kind: str) -> Attack:
    """A request with a body that is complete."""
    return _framed(path, json.dumps(request).encode(), data, kind)


def _framed(path: str, text: bytes, data: bytes, kind: str, json_length: str | None = None) -> Attack:
    length = json_length if json_length is not None else (str(len(text)) if data else None)
    return Attack(kind, head(path, len(text) + len(data), length), text + data, length)


def head(path: str, length: int | str, json_length: str | None = None, *more: str) -> bytes:
    """A request's head."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {length}", *more]
    if json_length is not None:
        lines.append(f"Inference-Header-Content-Length: {json_length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def mutated(path: str, values: Values, draw: random.Random) -> Attack:
    """A good request with one thing changed, in JSON, in binary data, or in HTTP."""
    binary = draw.random() < 0.5
    request, data = document(values, binary=binary)
    form = "binary" if binary else "JSON"
    choice = draw.random()
    if choice < 0.45:
        draw.choice(_FIELDS)(request, draw)
        return attack_of(path, request, data, f"{form}, a field")
    text = json.dumps(request).encode()
    if choice < 0.7:
        return _framed(path, _bytes_changed(text, draw), data, f"{form}, bytes")
    if choice < 0.78 and binary:
        return _framed(path, text, _bytes_changed(data, draw), "binary, data")
    if choice < 0.85:
        length = draw.choice(["0", "-1", str(len(text) - 1), str(len(text) + 1), "9" * 30, "", "x", str(1 << 40)])
        return _framed(path, text, data, f"{form}, length of JSON", length)
    return draw.choice(_HTTP)(path, text + data, draw)


def _shape(request: dict[str, Any], draw: random.Random) -> None:
    tensor = draw.choice(request["inputs"])
    tensor["shape"] = draw.choice(HUGE_SHAPES)
    if draw.random() < 0.5:
        if "data" in tensor:
            tensor["data"] = draw.choice([[], [[]], [[], []], [0]])
        else:
            tensor["parameters"] = {"binary_data_size": 0}


def _size(request: dict[str, Any], draw: random.Random) -> None:
    size: Any = draw.choice([0, -1, 1 << 63, 1 << 40, 1.5, "4", None, True, [], 1])
    draw.choice(request["inputs"])["parameters"] = {"binary_data_size": size}


def _kind(request: dict[str, Any], draw: random.Random) -> None:
    draw.choice(request["inputs"])["datatype"] = draw.choice(
        ["INT64", "FP64", "BYTES", "", "BOOL", 1, "INT4", "x" * 999]
    )


def _name(request: dict[str, Any], draw: random.Random) -> None:
    draw.choice(request["inputs"])["name"] = draw.choice(["", "z", "x" * 9999, "\ud800", 1, None, "é\0"])


def _data(request: dict[str, Any], draw: random.Random) -> None:
    tensor = draw.choice(request["inputs"])
    wrong: list[Any] = [None, "x", {}, [], [[]], float("nan"), 1e300, 10**400, True, -0.0]
    if "data" in tensor and tensor["data"] and draw.random() < 0.7:
        tensor["data"][draw.randrange(len(tensor["data"]))] = draw.choice(wrong)
    else:
        tensor["data"] = draw.choice([*wrong, [0] * 100_000, [[0]] * 9, [[]] * 99_999])


def _tensors(request: dict[str, Any], draw: random.Random) -> None:
    known = request["inputs"]
    request["inputs"] = draw.choice(
        [[], known * 2, known[:-1], {}, None, [known], [{}] * 5000, [*known, {"name": "z"}]]
    )


def _outputs(request: dict[str, Any], draw: random.Random) -> None:
    named = {"name": "z", "parameters": {"classification": 1}}
    request["outputs"] = draw.choice([[], [named], [{}], {}, None, [{"name": "z"}] * 3000, [[]], "x"])


def _unknown(request: dict[str, Any], draw: random.Random) -> None:
    deep: Any = 0
    for _ in range(draw.choice([1, 100, 900])):
        deep = [deep]
    request[draw.choice(["junk", "parameters", "id"])] = draw.choice(
        [deep, "x" * 70_000, {"a": deep}, [[]] * 50_000, 1e308]
    )


_FIELDS: tuple[Callable[[dict[str, Any], random.Random], None], ...] = (
    _shape, _shape, _size, _kind, _name, _data, _data, _tensors, _outputs, _unknown,
)  # fmt: skip


def _bytes_changed(text: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(text) + 1)
    width = draw.choice([0, 0, 1, 1, 2, 9, len(text)])
    new = draw.choice([b"", bytes([draw.randrange(256)]), draw.choice(TOKENS), text[at : at + 50] * 2])
    return text[:at] + new + text[at + width :]


def _smuggled(path: str, body: bytes, draw: random.Random) -> Attack:
    second = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    lines = draw.choice(
        [
            [f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"],
            [f"Content-Length: {len(body)}", f"Content-Length: {len(body) + 1}"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
            ["Transfer-Encoding: xchunked"],
            [f"Content-Length : {len(body)}"],
            [f"Content-Length: +{len(body)}"],
            [f"Content-Length: {len(body)}, {len(body)}"],
            [f"Content-Length: 0x{len(body):x}"],
            ["Transfer-Encoding:\x0bchunked"],
        ]
    )
    text = "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines]) + "\r\n\r\n"
    return Attack("smuggling", text.encode(), b"0\r\n\r\n" + second + body, refused=True)


def _lengths(path: str, body: bytes, draw: random.Random) -> Attack:
    length = draw.choice(["-1", "9" * 25, str(1 << 40), str((64 << 20) + 1), "x", ""])
    return Attack("declared length", head(path, length), body, refused=True)


def _cut(path: str, body: bytes, draw: random.Random) -> Attack:
    whole = head(path, len(body)) + body
    return Attack("cut off", whole[: draw.randrange(1, len(whole))], b"", complete=False, refused=True)


def _promised(path: str, body: bytes, draw: random.Random) -> Attack:
    return Attack("cut off", head(path, draw.choice([60 << 20, len(body) + 1])), body, complete=False, refused=True)


def _chunked(path: str, body: bytes, draw: random.Random) -> Attack:
    text = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    size = draw.choice([b"-1", b"xyz", b"f" * 17, b"1;" + b"x" * 50_000, b"", b"0x5"])
    return Attack("chunks", text, size + b"\r\n" + body + b"\r\n0\r\n\r\n", complete=False, refused=True)


def _garbled(path: str, body: bytes, draw: random.Random) -> Attack:
    line = draw.choice(
        ["Host: evil.example", "A: " + "x" * 40_000, ": x", "A\0: x", "Origin: http://evil.example", "A: \x01"]
    )
    lines = [f"POST {path} HTTP/1.1", "Connection: close", f"Content-Length: {len(body)}", line]
    if not line.startswith("Host"):
        lines.append("Host: localhost")
    return Attack("headers", ("\r\n".join(lines) + "\r\n\r\n").encode(), body, refused=True)


_HTTP = (_smuggled, _smuggled, _lengths, _cut, _promised, _chunked, _garbled)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The response: the statuses in order, and the last response's body and length of JSON."""

    statuses: tuple[int, ...]
    body: bytes = b""
    json_length: int = 0
    hung: bool = False


def sent(port: int, attack: Attack, patience_s: float, source: str = "127.0.0.1") -> Outcome:
    """Send an attack, end the sending side, and read until the server closes."""
    received = bytearray()
    try:
        with socket.create_connection(("127.0.0.1", port), patience_s, (source, 0)) as wire:
            try:
                wire.sendall(attack.head + attack.body)
                if not attack.complete:
                    wire.shutdown(socket.SHUT_WR)
            except OSError:  # refused while it is sent: the response is still read
                pass
            while chunk := wire.recv(1 << 16):
                received += chunk
    except TimeoutError:
        return Outcome(_responses(bytes(received)).statuses, hung=True)
    except OSError:  # a reset behind the response
        pass
    return _responses(bytes(received))


def _responses(stream: bytes) -> Outcome:
    statuses, body, split = [], b"", 0
    while stream.startswith(INTEREST):
        top, _, stream = stream.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        body, stream = stream[:length], stream[length:]
        split = int(headers.get("inference-header-content-length", length))
        statuses.append(int(first.split()[1]))
    return Outcome(tuple(statuses), body, split)


def meaning(attack: Attack) -> dict[str, Array] | None:
    """Parse a request's inputs with the standard library alone; None where it is not a valid request."""
    split = len(attack.body) if attack.json_length is None else int(attack.json_length)
    try:
        values, end = _values(json.loads(attack.body[:split])["inputs"], attack.body, split)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return values if end == len(attack.body) else None


def answered(outcome: Outcome) -> dict[str, Array]:
    """Parse the outputs in a response with 200."""
    tensors = json.loads(outcome.body[: outcome.json_length])["outputs"]
    return _values(tensors, outcome.body, outcome.json_length)[0]


def _values(tensors: list[dict[str, Any]], body: bytes, at: int) -> tuple[dict[str, Array], int]:
    """The values of tensors by name, binary ones from ``at`` on, and where in the body they end."""
    values = {}
    for tensor in tensors:
        dtype = numpy_dtype(dtype_of_oip(tensor["datatype"]).name)
        size = (tensor.get("parameters") or {}).get("binary_data_size")
        if size is None:
            array = np.array(tensor["data"], dtype)
        else:
            array = np.frombuffer(body[at : at + size], dtype)
            at += size
        values[tensor["name"]] = array.reshape(tensor["shape"])
    return values, at


def large_json(limit: int) -> dict[str, bytes]:
    """Bodies just under the size limit of JSON that are slow to parse or take much memory."""
    room = limit - 200
    tensor = b'{"name":"x","datatype":"FP32","shape":%b,"data":%b}'
    return {
        "arrays in an unknown field": b'{"inputs":[],"junk":[%b0]}' % (b"[]," * (room // 3)),
        "arrays in data": b'{"inputs":[%b]}' % (tensor % (b"[1,1,16]", b"[%b0]" % (b"[]," * (room // 3)))),
        "numbers in data": b'{"inputs":[%b]}' % (tensor % (b"[1,1,16]", b"[%b0]" % (b"0," * (room // 2)))),
        "numbers of a vast shape": b'{"inputs":[%b]}'
        % (tensor % (b"[70368744177664,0]", b"[%b0]" % (b"0," * (room // 2)))),
        "tensors": b'{"inputs":[%b0]}' % (b'{"name":"","datatype":"","shape":[]},' * (room // 37)),
        "escapes": b'{"inputs":[],"id":"%b"}' % (b"\\n" * (room // 2)),
        "blanks": b'{"inputs":[%b]}' % (b" " * room),
        "openers": b"[" * room,
    }

"""Compressed bodies: requests are unpacked within a bound, answers are packed where a client asks for it."""

import zlib
from collections.abc import Sequence
from dataclasses import replace

from mopar.gateway.http.body import Body
from mopar.gateway.http.messages import JSON, Chunk, Response
from mopar.types import RequestError

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Of zlib, by coding: RFC 9110 calls zlib's own format deflate."""
_ANSWERS = ("gzip", "deflate")
_PIECE = 1 << 16
_LEAST_BYTES = 1 << 10
"""Shorter answers gain nothing."""
_LEVEL = 1
"""Higher ones take several times as long for a tenth less."""


def coding_of(header: str | None) -> str | None:
    """How a request's body is packed; None for not at all. Raises RequestError where it cannot be unpacked."""
    coding = (header or "identity").strip().lower()
    if coding == "identity":
        return None
    if coding not in _WINDOWS:
        raise RequestError(
            f"content-encoding {coding[:100]} is not accepted: send gzip, deflate or the plain body", 415
        )
    return coding


def unpack(body: memoryview, coding: str, limit: int) -> memoryview:
    """A body as it was before it was packed.

    Args:
        body: of the request.
        coding: as ``coding_of`` returns it.
        limit: bytes that it may have unpacked.

    Raises:
        RequestError: it is damaged, ends early, or is longer.
    """
    whole, at = Body(None), 0
    while True:
        unpacker = zlib.decompressobj(_WINDOWS[coding])
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or body[at : at + _PIECE]
            at += 0 if unpacker.unconsumed_tail else len(packed)
            try:
                piece = unpacker.decompress(packed, _PIECE)
            except zlib.error as cause:
                raise RequestError(f"the body is not valid {coding} data: {cause}") from cause
            if not packed and not piece and not unpacker.eof:
                raise RequestError(f"the body ends in the middle of its {coding} data")
            if whole.filled + len(piece) > limit:
                raise RequestError(f"the body is too large once it is unpacked: the limit is {limit} bytes", 413)
            whole.add(piece)
        at -= len(unpacker.unused_data)
        if at == len(body):
            return whole.view()
        if coding == "deflate":  # gzip data may be followed by more of it
            raise RequestError(f"{len(body) - at} bytes follow the body's {coding} data")


def answer_coding(accept: str | None, response: Response) -> str | None:
    """How an answer is to be packed; None for not at all.

    Binary tensors barely shrink, so they are packed only for a client that names one coding. Those that name several
    are mostly libraries that do so in every request.

    Args:
        accept: the request's ``Accept-Encoding``.
        response: the answer.
    """
    if accept is None or response.length < _LEAST_BYTES or response.status != 200:
        return None
    wanted = [name for name, weight in map(_weighted, accept.lower().split(",")) if weight > 0]
    codings = [name for name in wanted if name != "identity"]
    if response.content_type != JSON and len(codings) != 1:
        return None
    found = next((name for name in _ANSWERS if name in codings), None)
    return _ANSWERS[0] if found is None and "*" in codings else found


def pack(response: Response, coding: str) -> Response:
    """An answer with its body packed."""
    packer = zlib.compressobj(_LEVEL, wbits=_WINDOWS[coding])
    chunks: list[Chunk] = [packer.compress(chunk) for chunk in _pieces(response.chunks)]
    chunks.append(packer.flush())
    headers = {**response.headers, "content-encoding": coding, "vary": "accept-encoding"}
    return replace(response, chunks=[b"".join(chunks)], headers=headers)


def _pieces(chunks: Sequence[Chunk]) -> list[memoryview]:
    """Chunks in pieces between which other threads may run."""
    views = [memoryview(chunk).cast("B") for chunk in chunks if memoryview(chunk).nbytes]
    return [view[at : at + _PIECE] for view in views for at in range(0, len(view), _PIECE)]


def _weighted(item: str) -> tuple[str, float]:
    """A coding of ``Accept-Encoding`` and its weight."""
    name, _, parameter = item.partition(";")
    key, _, text = parameter.partition("=")
    if key.strip() != "q":
        return name.strip(), 1.0
    try:
        return name.strip(), float(text)
    except ValueError:
        return name.strip(), 0.0

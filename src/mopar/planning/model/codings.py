"""Which tensors are sent encoded between functions, and what that adds and saves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from mopar.planning.model.boundary import slice_inputs, slice_outputs
from mopar.planning.model.shares import share_bytes
from mopar.planning.numbers import MIB
from mopar.types import OBJECT_STORE, GraphPart, Profile, TensorCoding, TensorProfile

Codings = Mapping[str, TensorCoding]
"""Tensor -> the codec with which it is sent wherever it crosses a cut."""
NO_CODINGS: Codings = MappingProxyType({})
RAW = TensorCoding("", 1.0, 0.0, 0.0)
"""A tensor that is sent as it is."""
_GATEWAY_MS, _GATEWAY_MS_PER_MIB = 0.1, 0.6
"""What the gateway takes longer than a function to encode or decode a tensor: its memory is new to each request, where
a function has that of the last one, and a large one is encoded in a thread. 0.57 MiB take 1.3 ms where a function takes
0.8 (docs/decisions/codec-figures.md)."""


def applicable(profile: Profile, codings: Codings) -> Codings:
    """The codings that can be used.

    Tensors that only functions make and read have any, the model's own inputs and outputs those that the gateway knows.
    """
    if not codings:
        return NO_CODINGS
    outputs = {spec.name for spec in profile.outputs}
    made = {tensor.name: tensor.producer >= 0 for tensor in profile.tensors}
    inside = {name for name, by_function in made.items() if by_function} - outputs
    return {name: coding for name, coding in codings.items() if name in inside or (coding.by_gateway and name in made)}


def applied(profile: Profile, codings: Codings) -> Codings:
    """The codings that can be used, each with what it costs for its tensor: what the gateway does is latency alone."""
    if not codings:
        return NO_CODINGS
    outputs = {spec.name for spec in profile.outputs}
    tensors = {tensor.name: tensor for tensor in profile.tensors}
    found = {}
    for name, coding in applicable(profile, codings).items():
        made = tensors[name].producer >= 0
        if made and name not in outputs:
            found[name] = coding
        else:
            longer_ms = _longer_ms_per_mib(coding, tensors[name])
            before_ms = 0.0 if made else coding.encode_ms_per_mib + coding.made_ms_per_mib + longer_ms
            after_ms = coding.decode_ms_per_mib + coding.read_ms_per_mib + longer_ms if name in outputs else 0.0
            found[name] = replace(
                coding,
                read_ms_per_mib=coding.read_ms_per_mib + before_ms,
                made_ms_per_mib=coding.made_ms_per_mib + after_ms,
            )
    return found


def _longer_ms_per_mib(coding: TensorCoding, tensor: TensorProfile) -> float:
    """What the gateway takes longer than a function per MiB of a tensor; objects are neither encoded nor decoded."""
    if coding.text == OBJECT_STORE or not tensor.bytes:
        return 0.0
    return _GATEWAY_MS_PER_MIB + _GATEWAY_MS / (tensor.bytes / MIB)


def library_mib(codings: Codings, tensors: Iterable[TensorProfile]) -> float:
    """Memory of what a function needs for the codecs of its tensors, once for all of them."""
    return max((codings[tensor.name].library_mib for tensor in tensors if tensor.name in codings), default=0.0)


def library_sizes(codings: Codings) -> tuple[float, ...]:
    """What ``library_mib`` may be, but 0."""
    return tuple(sorted({coding.library_mib for coding in codings.values()} - {0.0}))


def code_bytes(codings: Codings, tensor: TensorProfile) -> float:
    """Bytes of a tensor's code, which a function holds beside the tensor; 0 where it is sent as it is."""
    coding = codings.get(tensor.name)
    return 0.0 if coding is None else tensor.bytes * coding.held_ratio


def slice_code_bytes(codings: Codings, tensors: Sequence[TensorProfile], start: int, stop: int) -> float:
    """Bytes of all codes that layers ``start`` to ``stop`` as one function read and make."""
    return sum(code_bytes(codings, tensor) for tensor in crossing_tensors(codings, tensors, start, stop))


def part_code_bytes(codings: Codings, tensors: Mapping[str, TensorProfile], part: GraphPart) -> float:
    """Bytes that a part holds beside the shares that it reads and makes: codes, and what it takes regions of."""
    read, made = ([share for share in shares if share.tensor in codings] for shares in (part.inputs, part.outputs))
    held = 0.0
    for share in made:
        held += codings[share.tensor].held_ratio * share_bytes(tensors[share.tensor], share)
    for share in read:
        tensor = tensors[share.tensor]
        held += code_bytes(codings, tensor) + (0.0 if share.axis is None else tensor.bytes)
    return held


def part_library_mib(codings: Codings, part: GraphPart) -> float:
    """``library_mib`` of a part."""
    shares = (*part.inputs, *part.outputs)
    return max((codings[share.tensor].library_mib for share in shares if share.tensor in codings), default=0.0)


def crossing_tensors(
    codings: Codings, tensors: Sequence[TensorProfile], start: int, stop: int
) -> Sequence[TensorProfile]:
    """The tensors that layers ``start`` to ``stop`` as one function read and make; none where none is encoded."""
    return (*slice_inputs(tensors, start, stop), *slice_outputs(tensors, start, stop)) if codings else ()

"""Which tensors are sent encoded between functions, and what that adds and saves."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mopar.planning.model.boundary import slice_inputs, slice_outputs
from mopar.types import Profile, TensorCoding, TensorProfile

Codings = Mapping[str, TensorCoding]
"""Tensor -> the codec with which it is sent wherever it crosses a cut."""
NO_CODINGS: Codings = MappingProxyType({})
RAW = TensorCoding("", 1.0, 0.0, 0.0)
"""A tensor that is sent as it is."""


def between_functions(profile: Profile, codings: Codings) -> Codings:
    """Codings of tensors that only functions make and read: the model's own inputs and outputs stay as they are."""
    if not codings:
        return NO_CODINGS
    outputs = {spec.name for spec in profile.outputs}
    made = {tensor.name for tensor in profile.tensors if tensor.producer >= 0}
    return {name: coding for name, coding in codings.items() if name in made - outputs}


def code_bytes(codings: Codings, tensor: TensorProfile) -> float:
    """Bytes of a tensor's code, which a function holds beside the tensor; 0 where it is sent as it is."""
    coding = codings.get(tensor.name)
    return 0.0 if coding is None else tensor.bytes * coding.ratio


def slice_code_bytes(codings: Codings, tensors: Sequence[TensorProfile], start: int, stop: int) -> float:
    """Bytes of all codes that layers ``start`` to ``stop`` as one function read and make."""
    if not codings:
        return 0.0
    crossing = (*slice_inputs(tensors, start, stop), *slice_outputs(tensors, start, stop))
    return sum(code_bytes(codings, tensor) for tensor in crossing)

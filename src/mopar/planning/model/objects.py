"""Which tensors become objects, and what they cost, as far as that adds up over slices: the least that it can be.

Where something runs the plan that holds all tensors of a request together, which of them become objects depends on how
many there are: here those that would in a plan of few.
"""

from collections.abc import Sequence

from mopar.planning.model.boundary import slice_inputs, slice_outputs
from mopar.planning.model.calls import Side
from mopar.planning.model.cost_model import CostModel
from mopar.types import OBJECT_STORE, Orchestrator, TensorProfile


def is_object(model: CostModel, by: Orchestrator | None, tensor: str, size_bytes: float, tensors: int = 1) -> bool:
    """Whether a tensor, or a share of it, becomes an object.

    Args:
        model: says how it is sent; what becomes an object has no code of a message.
        by: what runs the plan; None where one call is all.
        tensor: its name.
        size_bytes: of it, or of the share.
        tensors: how many there are in a request.
    """
    coding = model.coding(tensor)
    if coding.text == OBJECT_STORE:
        return True
    return by is not None and size_bytes * coding.ratio > by.inline_bytes(tensors)


def object_usd(model: CostModel, tensor: str, size_bytes: float, side: Side) -> float:
    """What a tensor that crosses a cut, or a share of it, adds to a call that reads or produces it."""
    return _usd(model, side) if is_object(model, model.book.orchestrator, tensor, size_bytes) else 0.0


def request_objects_usd(model: CostModel, by: Orchestrator | None) -> float:
    """What the request's own tensors add to it: its inputs are put, and its outputs are got, by who asks."""
    tensors = {tensor.name: tensor for tensor in model.profile.tensors}
    given, taken = (
        [tensors[spec.name] for spec in specs if spec.name in tensors]
        for specs in (model.profile.inputs, model.profile.outputs)
    )
    return _all_usd(model, by, given, "producer") + _all_usd(model, by, taken, "consumer")


def whole_objects_usd(model: CostModel) -> float:
    """What tensors add to the one call of the unsplit model."""
    tensors, end = model.profile.tensors, len(model.profile.layers)
    read, made = slice_inputs(tensors, 0, end), slice_outputs(tensors, 0, end)
    return _all_usd(model, None, read, "consumer") + _all_usd(model, None, made, "producer")


def _all_usd(model: CostModel, by: Orchestrator | None, tensors: Sequence[TensorProfile], side: Side) -> float:
    return sum(_usd(model, side) for one in tensors if is_object(model, by, one.name, float(one.bytes)))


def _usd(model: CostModel, side: Side) -> float:
    return model.book.get_usd if side == "consumer" else model.book.put_usd

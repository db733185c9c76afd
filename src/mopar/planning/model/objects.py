"""Which tensors become objects, and what they cost, as far as that adds up over slices: the least that it can be.

Where something runs the plan that holds all tensors of a request together, which of them become objects depends on how
many there are: here those that would in a plan of few.
"""

from mopar.planning.model.calls import Side
from mopar.planning.model.cost_model import CostModel
from mopar.types import OBJECT_STORE, Orchestrator


def is_object(model: CostModel, by: Orchestrator | None, tensor: str, size_bytes: float, tensors: int = 1) -> bool:
    """Whether a tensor, or a share of it, becomes an object.

    Args:
        model: says how it is sent: objects are never encoded.
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
    return _own_usd(model, by, "producer", "consumer")


def whole_objects_usd(model: CostModel) -> float:
    """What they add to the one call of the unsplit model."""
    return _own_usd(model, None, "consumer", "producer")


def _own_usd(model: CostModel, by: Orchestrator | None, given: Side, taken: Side) -> float:
    """The price of a request's own tensors, for one side of its inputs and of its outputs."""
    sizes = {tensor.name: float(tensor.bytes) for tensor in model.profile.tensors}
    own = [(spec.name, given) for spec in model.profile.inputs] + [(spec.name, taken) for spec in model.profile.outputs]
    return sum(_usd(model, side) for name, side in own if is_object(model, by, name, sizes.get(name, 0.0)))


def _usd(model: CostModel, side: Side) -> float:
    return model.book.get_usd if side == "consumer" else model.book.put_usd

"""What tensors cost as objects, as far as that adds up over slices: the least that it can be.

Which tensors become objects depends on how many there are in a plan: here those that would in a plan of few.
"""

from mopar.planning.model.calls import Side
from mopar.planning.model.cost_model import CostModel


def object_usd(model: CostModel, tensor: str, size_bytes: float, side: Side) -> float:
    """What a tensor that crosses a cut, or a share of it, adds to a call that reads or produces it."""
    by = model.book.orchestrator
    if by is None or size_bytes * model.coding(tensor).ratio <= by.inline_bytes(1):
        return 0.0
    return by.get_usd if side == "consumer" else by.put_usd


def request_objects_usd(model: CostModel) -> float:
    """What the request's own tensors add to it: its inputs are put, and its outputs are got, by who asks."""
    sizes = {tensor.name: float(tensor.bytes) for tensor in model.profile.tensors}
    given = (object_usd(model, spec.name, sizes.get(spec.name, 0.0), "producer") for spec in model.profile.inputs)
    taken = (object_usd(model, spec.name, sizes.get(spec.name, 0.0), "consumer") for spec in model.profile.outputs)
    return sum(given) + sum(taken)

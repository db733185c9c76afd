"""What runs a plan's calls, by its price: for the request itself, for how long it lasts, and for tensors as objects."""

from collections.abc import Iterator

from mopar.planning.model.codings import RAW
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.objects import is_object
from mopar.planning.model.prices import round_up
from mopar.planning.model.shape import PlanShape, call_shares
from mopar.planning.model.shares import share_bytes
from mopar.types import OBJECT_STORE, REQUEST, Orchestrated, Orchestrator, Share, Source, TensorProfile

_Made = tuple[str, str]
"""A call and a tensor that it makes."""


def orchestrated(model: CostModel, shape: PlanShape, latency_ms: float) -> Orchestrated | None:
    """The price of what runs a plan, for a million requests.

    Returns:
        None where nothing is named, or one call is all, and no tensor becomes an object.

    Raises:
        KeyError: as ``predict``.
    """
    named = model.book.orchestrator or Orchestrator()
    by = named if len(shape.calls) > 1 else Orchestrator(named.name)
    objects = _Objects(model, shape, by)
    if not objects.puts and (model.book.orchestrator is None or len(shape.calls) <= 1):
        return None
    billed_ms = float(round_up(latency_ms, by.billing_unit_ms))
    return Orchestrated(
        name=by.name,
        billed_ms=billed_ms if by.usd_per_ms > 0 else 0.0,
        objects=objects.puts,
        cost_per_million_usd=(by.request_usd + billed_ms * by.usd_per_ms) * 1e6,
        objects_per_million_usd=(objects.puts * model.book.put_usd + objects.gets * model.book.get_usd) * 1e6,
    )


class _Objects:
    """The tensors of a request that become objects: those of an object store; in a state, large ones or read in parts.

    Attributes:
        puts, gets: of objects; the client puts inputs, and gets outputs.
    """

    def __init__(self, model: CostModel, shape: PlanShape, by: Orchestrator) -> None:
        self.puts = self.gets = 0
        if by.state_bytes is None and all(coding.text != OBJECT_STORE for coding in model.codings.values()):
            return
        self._model, self._by = model, by
        self._tensors = {tensor.name: tensor for tensor in model.profile.tensors}
        self._shares = call_shares({graph.id: graph for graph in shape.graphs}, shape.calls)
        inputs = [(REQUEST, spec.name) for spec in model.profile.inputs]
        made = [*inputs, *((call.id, name) for call in shape.calls for name in call.outputs)]
        self._count = len(made)
        read = [source for call in shape.calls for item in call.inputs for source in item.sources]
        self._whole = set() if by.state_bytes is None else set(self._read_in_parts(read))
        stored = {one for one in made if self._is_stored(one)}
        self.puts = len(stored)
        self.gets = sum((source.producer, source.tensor) in stored for source in read)
        self.gets += sum((producer, name) in stored for name, producer in shape.outputs)

    def _is_stored(self, made: _Made) -> bool:
        share = self._shares.get(made, Share(made[1]))
        size_bytes = share_bytes(self._tensors[share.tensor], share)
        return made[0] in self._whole or is_object(self._model, self._by, share.tensor, size_bytes, self._count)

    def _read_in_parts(self, read: list[Source]) -> Iterator[str]:
        """The producers of which some call reads a contiguous region: all that they make becomes objects."""
        for source in read:
            share = self._shares.get((source.producer, source.tensor), Share(source.tensor))
            if source.region is None or self._is_code(share.tensor):
                continue
            if _is_contiguous(self._tensors[share.tensor], source.region.axis):
                yield source.producer

    def _is_code(self, tensor: str) -> bool:
        """Whether a tensor is sent as a code, of which no region can be read."""
        return self._model.coding(tensor).text not in {RAW.text, OBJECT_STORE}


def _is_contiguous(tensor: TensorProfile, axis: int) -> bool:
    """Whether a region along an axis is one range of bytes."""
    return all(size == 1 for size in tensor.shape[:axis])

"""Whether the sources of a call's inputs give what its graph takes: regions, concatenations and sums."""

from collections.abc import Mapping, Sequence

from mopar.types import REQUEST, Call, CallInput, Graph, Region, Share, Source, UsageError

_SEVERAL = 2

MadeShares = Mapping[tuple[str, str], Share]
"""What each call makes of each tensor; all of it where nothing is said."""


def check_sources(call: Call, graph: Graph, made: Mapping[str, tuple[str, ...]], shares: MadeShares) -> None:
    """Check a call's inputs.

    Args:
        call: of a plan; ``graph`` is what it runs.
        graph: names what it takes.
        made: the tensors of each earlier call.
        shares: that earlier calls make of them.

    Raises:
        UsageError: the first input that does not hold.
    """
    taken = {share.tensor: share for share in graph.part.inputs} if graph.part else {}
    for item in call.inputs:
        where = f"plan: input {item.tensor!r} of call {call.id!r}"
        _check_form(where, item)
        for source in item.sources:
            if source.producer != REQUEST and source.tensor not in made.get(source.producer, ()):
                raise UsageError(f"plan: call {call.id!r} takes {source.tensor!r}, not made by {source.producer!r}")
            if source.tensor != item.tensor:
                raise UsageError(f"{where} is made of {source.tensor!r}")
            _check_region(where, source.region)
        given = [shares.get((source.producer, source.tensor), Share(source.tensor)) for source in item.sources]
        if item.tensor in taken or given != [Share(item.tensor)] * len(given):
            _check_given(where, item, given, taken.get(item.tensor, Share(item.tensor)))


def _check_form(where: str, item: CallInput) -> None:
    if item.combine not in {"none", "concat", "sum"} or (item.combine == "concat") != (item.axis is not None):
        raise UsageError(f"{where} is combined by {item.combine!r}, axis {item.axis}")
    several = item.combine != "none"
    if len(item.sources) < _SEVERAL if several else len(item.sources) != 1:
        raise UsageError(f"{where} has {len(item.sources)} sources to {item.combine}")
    if item.axis is not None and item.axis < 0:
        raise UsageError(f"{where} is joined along axis {item.axis}: axes count from 0")


def _check_region(where: str, region: Region | None) -> None:
    if region is None:
        return
    within = region.size is None or region.stop <= region.size
    if region.axis < 0 or not 0 <= region.start < region.stop or not within:
        of = "" if region.size is None else f" of {region.size}"
        raise UsageError(f"{where}: there is no region {region.start} to {region.stop}{of} along axis {region.axis}")


def _check_given(where: str, item: CallInput, given: Sequence[Share], taken: Share) -> None:
    """What the sources give, put together, is what is taken."""
    summands = [share.summand for share in given]
    if any(summands) != (item.combine == "sum") or not (all(summands) or not any(summands)):
        raise UsageError(f"{where} is combined by {item.combine!r}, and {sum(summands)} of its sources are summands")
    if len({source.producer for source in item.sources}) < len(item.sources):
        raise UsageError(f"{where} takes from one call twice")
    axis = next((axis for axis in (item.axis, given[0].axis, taken.axis) if axis is not None), None)
    if any(share.axis not in {None, axis} for share in given):
        raise UsageError(f"{where} is joined along axis {axis}, its sources are split along {given[0].axis}")
    if item.combine == "none" and given[0].axis not in {None, taken.axis}:
        raise UsageError(f"{where}: one share of axis {given[0].axis} gives not all that is taken")
    found = [(_span(source, share, axis), share) for source, share in zip(item.sources, given, strict=True)]
    _check_spans(where, axis, [(span, share) for span, share in found if span is not None], taken)


def _check_spans(where: str, axis: int | None, found: Sequence[tuple[tuple[int, int], Share]], taken: Share) -> None:
    """Each span lies in what was made, and they follow each other from where the taken share begins to its end."""
    along = taken.axis == axis
    at = taken.start if along else 0
    for (start, stop), share in found:
        if share.axis is not None and not share.start <= start < stop <= share.stop:
            raise UsageError(f"{where} takes {start} to {stop} of {share.start} to {share.stop}")
        if start != at:
            raise UsageError(f"{where} goes on at element {start} along axis {axis}, not at {at}")
        at = stop
    if found and along and at != taken.stop:
        raise UsageError(f"{where} ends at element {at} along axis {axis}, not at {taken.stop}")


def _span(source: Source, share: Share, axis: int | None) -> tuple[int, int] | None:
    """The elements along an axis that a source gives, counted in the whole tensor; None where that is not known."""
    region = source.region if source.region is not None and source.region.axis == axis else None
    if axis is None or (region is None and share.axis is None):
        return None
    offset = share.start if share.axis is not None else 0
    return (share.start, share.stop) if region is None else (offset + region.start, offset + region.stop)

"""Checks that the sources of a call's inputs provide what its graph reads: regions, concatenations and sums."""

from collections.abc import Mapping, Sequence

from mopar.types import REQUEST, Call, CallInput, Graph, Region, Share, Source, UsageError

_SEVERAL = 2

Span = tuple[int, int]
"""Elements ``start`` to ``stop`` (exclusive) along an axis."""

MadeShares = Mapping[tuple[str, str], Share]
"""The share of each tensor that each call produces; the whole tensor where it has no entry."""


def check_sources(call: Call, graph: Graph, made: Mapping[str, tuple[str, ...]], shares: MadeShares) -> None:
    """Check a call's inputs.

    Args:
        call: of a plan.
        graph: the one that it runs.
        made: the tensors of each earlier call.
        shares: their shares that earlier calls produce.

    Raises:
        UsageError: the first input that is wrong.
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
            _check_given(where, item, given, taken.get(item.tensor, Share(item.tensor)), _made_upto(item, shares))


def _made_upto(item: CallInput, shares: MadeShares) -> int:
    """End of the part of a tensor that all calls produce, along the axis on which it is joined."""
    made = [share for (_, tensor), share in shares.items() if tensor == item.tensor and share.axis == item.axis]
    return max((share.stop for share in made if share.axis is not None), default=0)


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


def _check_given(where: str, item: CallInput, given: Sequence[Share], taken: Share, made_upto: int) -> None:
    """Check that the sources, joined, are what the graph reads; ``made_upto`` is the end along the joined axis."""
    summands = [share.summand for share in given]
    if any(summands) != (item.combine == "sum") or not (all(summands) or not any(summands)):
        raise UsageError(f"{where} is combined by {item.combine!r}, and {sum(summands)} of its sources are summands")
    if len({source.producer for source in item.sources}) < len(item.sources):
        raise UsageError(f"{where} takes from one call twice")
    joined = item.axis
    if joined is not None and any(share.axis not in {None, joined} for share in given):
        raise UsageError(f"{where} is joined along axis {joined}, its sources are split along {given[0].axis}")
    wanted = {} if taken.axis is None else {taken.axis: (taken.start, taken.stop)}
    blocks = [_block(where, source, share) for source, share in zip(item.sources, given, strict=True)]
    for block in blocks:
        for axis in sorted((block.keys() | wanted.keys()) - {joined}):
            _check_span(where, axis, block.get(axis), wanted.get(axis))
    if joined is not None:
        _check_joined(where, joined, [block.get(joined) for block in blocks], wanted.get(joined, (0, made_upto)))


def _block(where: str, source: Source, share: Share) -> Mapping[int, Span]:
    """The elements that a source provides, by axis, in coordinates of the whole tensor; other axes are whole."""
    block = {} if share.axis is None else {share.axis: (share.start, share.stop)}
    region = source.region
    if region is None or (region.start, region.stop) == (0, region.size):
        return block
    offset, most = block.get(region.axis, (0, region.stop))
    start, stop = offset + region.start, offset + region.stop
    if stop > most:
        raise UsageError(f"{where} takes {start} to {stop} of {offset} to {most}")
    return block | {region.axis: (start, stop)}


def _check_span(where: str, axis: int, got: Span | None, wanted: Span | None) -> None:
    """Check an axis that is not joined: each source provides exactly the elements that are read; None is all."""
    if wanted is None:
        raise UsageError(f"{where}: one share of axis {axis} gives not all that is taken")
    start, stop = got or (0, wanted[1])
    if start != wanted[0]:
        raise UsageError(f"{where} begins at element {start} along axis {axis}, not at {wanted[0]}")
    if stop != wanted[1]:
        raise UsageError(f"{where} ends at element {stop} along axis {axis}, not at {wanted[1]}")


def _check_joined(where: str, axis: int, spans: Sequence[Span | None], wanted: Span) -> None:
    """Check the joined axis: the sources are contiguous, from the beginning to the end of the share that is read."""
    at, end = wanted
    for span in spans:
        if span is None:
            raise UsageError(f"{where} is joined along axis {axis}, of which one source gives all")
        if span[0] != at:
            raise UsageError(f"{where} goes on at element {span[0]} along axis {axis}, not at {at}")
        at = span[1]
    if at != end:
        raise UsageError(f"{where} ends at element {at} along axis {axis}, not at {end}")

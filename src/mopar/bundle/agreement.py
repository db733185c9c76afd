"""Checks that a manifest's tensors match its graphs' files, and that producers match consumers."""

from collections.abc import Iterable, Mapping

from mopar.bundle.interface import GraphInterface
from mopar.types import REQUEST, BundleError, CallInput, Dim, GraphEntry, Manifest, Region, TensorSpec, format_shape

Made = Mapping[tuple[str, str], TensorSpec]
"""Declarations of tensors by producer and name."""


def check_interface(graph: GraphEntry, interface: GraphInterface) -> None:
    """Check that the manifest's inputs and outputs of a graph match the graph's file.

    The order of outputs may differ: workers look them up by name. Unknown dimensions match any dimension.

    Raises:
        BundleError: names, element types, ranks or fixed dimensions differ.
    """
    for what, said, found in (
        ("takes", graph.inputs, interface.inputs),
        ("gives", graph.outputs, interface.outputs),
    ):
        by_name = {spec.name: spec for spec in found}
        if len(by_name) != len(found) or sorted(by_name) != sorted(spec.name for spec in said):
            raise BundleError(f"graph {graph.id} {what} {_names(found)}, the manifest says {_names(said)}")
        for spec in said:
            _same(f"graph {graph.id} {what} {spec.name} as", by_name[spec.name], spec, "the manifest says")


def check_edges(manifest: Manifest) -> None:
    """Check that each call's inputs, and the model's outputs, match the tensors that their producers make.

    Raises:
        BundleError: element types, ranks or fixed dimensions differ, or a region is not within its tensor.
    """
    graphs = {graph.id: graph for graph in manifest.graphs}
    made = {(REQUEST, spec.name): spec for spec in manifest.inputs}
    for call in manifest.calls:
        for spec, item in zip(graphs[call.graph].inputs, call.inputs, strict=True):
            _check_taken(f"call {call.id} takes {item.tensor} as", item, spec, made)
        made |= {(call.id, spec.name): spec for spec in graphs[call.graph].outputs}
    producers = dict(manifest.plan.outputs)
    for spec in manifest.outputs:
        _same(f"the output {spec.name} is", spec, made[producers[spec.name], spec.name], "its graph gives")


def _check_taken(where: str, item: CallInput, spec: TensorSpec, made: Made) -> None:
    source = item.sources[0]
    given = made[source.producer, source.tensor]
    if source.region is not None:
        given = _cut(where, given, source.region, spec)
    _same(where, spec, given, "it is made as")


def _cut(where: str, given: TensorSpec, region: Region, taken: TensorSpec) -> TensorSpec:
    """The declaration of a region of a tensor; the region must be contiguous, since it is read in place."""
    axis, length = region.axis, region.stop - region.start
    for known in (given.shape, taken.shape):
        if known is not None and not 0 <= axis < len(known):
            raise BundleError(f"{where} a region along axis {axis} of {format_shape(known)}")
    if taken.shape is None or any(dim != 1 for dim in taken.shape[:axis]):
        raise BundleError(f"{where} a region along axis {axis} that is not one stretch of bytes")
    if given.shape is None:
        return given
    whole = given.shape[axis]
    if isinstance(whole, int) and (region.stop > whole or region.size not in {None, whole}):
        raise BundleError(f"{where} elements {region.start} to {region.stop} of {whole} along axis {axis}")
    shape: tuple[Dim, ...] = (*given.shape[:axis], length, *given.shape[axis + 1 :])
    return TensorSpec(given.name, given.dtype, shape)


def _same(where: str, one: TensorSpec, other: TensorSpec, whose: str) -> None:
    if one.dtype == other.dtype and _compatible(one.shape, other.shape):
        return
    texts = (f"{spec.dtype} {format_shape(spec.shape)}" for spec in (one, other))
    raise BundleError(f"{where} {next(texts)}, {whose} {next(texts)}")


def _compatible(one: tuple[Dim, ...] | None, other: tuple[Dim, ...] | None) -> bool:
    if one is None or other is None:
        return True
    fixed = [(a, b) for a, b in zip(one, other, strict=False) if isinstance(a, int) and isinstance(b, int)]
    return len(one) == len(other) and all(a == b for a, b in fixed)


def _names(specs: Iterable[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs) or "nothing"

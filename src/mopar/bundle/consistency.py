"""Checks that a manifest read from a file is consistent."""

from collections.abc import Iterable

from mopar.bundle.agreement import check_edges
from mopar.bundle.calls import check_calls
from mopar.planning.validate.plan import check_plan
from mopar.planning.validate.ranges import check_ranges
from mopar.runtime.environment import ALLOCATORS
from mopar.types import (
    DTYPES,
    REQUEST,
    BundleError,
    Call,
    GraphEntry,
    Manifest,
    TensorSpec,
    UsageError,
)

_DTYPES = {dtype.name for dtype in DTYPES}


def check_manifest(manifest: Manifest, where: str) -> None:
    """Check that every name in a manifest refers to something.

    Args:
        manifest: the manifest as read.
        where: the file that it was read from, for messages.

    Raises:
        BundleError: the first inconsistency.
    """
    try:
        _check_graphs(manifest)
        _check_allocator(manifest)
        _check_calls(manifest)
        _check_outputs(manifest)
        _check_specs((*manifest.inputs, *manifest.outputs))
        check_ranges(manifest.plan.ranges, {spec.name for spec in manifest.inputs}, BundleError)
        check_plan(manifest.plan, max((graph.stop for graph in manifest.plan.graphs), default=0))
        check_calls(manifest)
        check_edges(manifest)
    except (BundleError, UsageError) as error:
        raise BundleError(f"{where}: {error}: build the bundle again") from error


def _check_graphs(manifest: Manifest) -> None:
    functions = {function.name for function in manifest.plan.functions}
    if len(functions) != len(manifest.plan.functions) or not functions:
        raise BundleError("its functions have not each a name")
    for function in manifest.plan.functions:
        if not function.is_possible():
            raise BundleError(f"function {function.name} needs memory_mib, cpu, threads over 0, within reason")
    if len({graph.id for graph in manifest.graphs}) != len(manifest.graphs):
        raise BundleError("its graphs have not each an id")
    for graph in manifest.graphs:
        if graph.function not in functions:
            raise BundleError(f"graph {graph.id} is of no function")
        if not graph.files or (graph.packed is not None and not graph.packed.files):
            raise BundleError(f"graph {graph.id} has no file")
        _check_specs((*graph.inputs, *graph.outputs))


def _check_allocator(manifest: Manifest) -> None:
    if manifest.allocator not in ALLOCATORS:
        raise BundleError(f"allocator {manifest.allocator!r} is none of {', '.join(ALLOCATORS)}")


def _check_calls(manifest: Manifest) -> None:
    graphs = {graph.id: graph for graph in manifest.graphs}
    if [call.id for call in manifest.calls] != [call.id for call in manifest.plan.calls]:
        raise BundleError("its calls are not the plan's")
    made = {(spec.name, REQUEST) for spec in manifest.inputs}
    for call, planned in zip(manifest.calls, manifest.plan.calls, strict=True):
        graph = graphs.get(call.graph)
        if graph is None or graph.function != call.function or not _fits(call, graph):
            raise BundleError(f"call {call.id} does not fit graph {call.graph}")
        for item in (*call.inputs, *planned.inputs):
            if not {(source.tensor, source.producer) for source in item.sources} <= made:
                raise BundleError(f"call {call.id} takes {item.tensor} from where it is not made before")
        made.update((name, call.id) for name in (*call.outputs, *planned.outputs))
    sent = {(name, call.id) for call in manifest.calls for name in call.outputs}
    sent |= {(spec.name, REQUEST) for spec in manifest.inputs}
    for tensor, producer in manifest.plan.outputs:
        if (tensor, producer) not in sent:
            raise BundleError(f"output {tensor} is not made by {producer}")


def _fits(call: Call, graph: GraphEntry) -> bool:
    inputs = [item.tensor for item in call.inputs if len(item.sources) == 1 and item.combine == "none"]
    return (
        len(inputs) == len(call.inputs)
        and inputs == [spec.name for spec in graph.inputs]
        and list(call.outputs) == [spec.name for spec in graph.outputs]
    )


def _check_outputs(manifest: Manifest) -> None:
    planned = [name for name, _ in manifest.plan.outputs]
    if sorted(spec.name for spec in manifest.outputs) != sorted(planned) or len(set(planned)) < len(planned):
        raise BundleError("its outputs are not the plan's")
    if len({spec.name for spec in manifest.inputs}) < len(manifest.inputs):
        raise BundleError("two of its inputs have one name")


def _check_specs(specs: Iterable[TensorSpec]) -> None:
    for spec in specs:
        if spec.dtype not in _DTYPES:
            raise BundleError(f"tensor {spec.name} has the unknown element type {spec.dtype}")
        if any(isinstance(dim, int) and dim < 0 for dim in spec.shape or ()):
            raise BundleError(f"tensor {spec.name} has a negative dimension")

"""Required memory of a model as one function, and of a few slices of it, under real limits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from mopar.bundle import build, open_bundle
from mopar.files import temporary_folder
from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.measurement.call_costs import init_ms
from mopar.measurement.memory_search import MemoryMeasurement
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.planning import plan_cuts, plan_uniform, plan_unsplit
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.platforms.books import load_book, load_limits
from mopar.profiling import FunctionMemory
from mopar.types import Graph, MemorySample, Plan, Profile

_SAMPLES = 4
_HEAVY_SHARE = 0.2

Progress = Callable[[str, float], None]
"""Called with a line per run, and the share of the measurements that is done."""


def function_memory(
    model: Model, profile: Profile, inputs: Mapping[str, Array], progress: Progress = lambda _line, _share: None
) -> FunctionMemory:
    """Measure the whole model as one function, and slices of equal time.

    A layer that holds a large part of the weights is a slice of its own: a planner likes to set it apart,
    and whether its weights are all read (a table's are not) shows in no other way.

    Args:
        model: in canonical form.
        profile: that slices are cut by; what it says of memory is not read.
        inputs: a request of the largest sizes.
        progress: called with each stage, and the share of all that is done.

    Raises:
        MoparError: a function cannot be built or run.
    """
    limits = load_limits("local")
    book = load_book(limits.prices)
    uniform = plan_uniform(profile, book, limits, _SAMPLES, slo_ms=None)
    cuts = {graph.start for graph in uniform.graphs[1:]} | _around_heavy_layers(profile)
    functions = _Functions(1 + (len(cuts) + 1 if cuts else 0), progress)
    with _launches(model, plan_unsplit(profile, book, limits, slo_ms=None), inputs) as (launch,):
        whole_mib, ready_ms = functions.measured(launch, "the whole model").required_mib, init_ms(launch)
    samples: tuple[MemorySample, ...] = ()
    if cuts:
        sampled = plan_cuts(profile, book, limits, sorted(cuts), slo_ms=None, max_functions=len(cuts) + 1)
        with _launches(model, sampled, inputs) as launches:
            samples = _samples(functions, sampled.graphs, launches)
    return FunctionMemory(whole_mib, ready_ms, samples)


class _Functions:
    """Functions measured one after the other, and how far that is.

    Args:
        count: of all functions.
        progress: called with each stage, and the share of all that is done.
    """

    def __init__(self, count: int, progress: Progress) -> None:
        self._count, self._progress = count, progress
        self._done = 0

    def measured(self, launch: FunctionLaunch, what: str, surplus_mib: float = 0.0) -> MemoryMeasurement:
        """Required memory of the next one."""
        share = self._done / self._count

        def say(line: str) -> None:
            self._progress(f"{what}: {line}", share)

        found = required_memory(launch, cpu=1.0, surplus_mib=surplus_mib, progress=say)
        self._done += 1
        return found


def _samples(
    functions: _Functions, graphs: Sequence[Graph], launches: Sequence[FunctionLaunch]
) -> tuple[MemorySample, ...]:
    """One after the other: slices of one model mostly need about as much less than expected as the one before."""
    samples, surplus_mib = [], 0.0
    for graph, launch in zip(graphs, launches, strict=True):
        measured = functions.measured(launch, f"layers {graph.start} to {graph.stop - 1}", surplus_mib)
        samples.append(MemorySample(graph.start, graph.stop, measured.required_mib))
        surplus_mib = measured.surplus_mib
    return tuple(samples)


@contextmanager
def _launches(model: Model, plan: Plan, inputs: Mapping[str, Array]) -> Iterator[tuple[FunctionLaunch, ...]]:
    """The functions of a plan, built in a folder that is gone afterwards, with their calls of one request."""
    with temporary_folder("mopar-memory-") as folder:
        root = folder / "bundle"
        build(model, plan, root)
        bundle = open_bundle(root, check=False)
        calls = record(bundle, inputs).calls
        yield tuple(host_platform().launch(bundle, function.name, calls[function.name]) for function in plan.functions)


def _around_heavy_layers(profile: Profile) -> set[int]:
    """Cut positions before and after each layer that holds at least a fifth of the resident weights."""
    sizes = {weight.name: weight.resident_bytes for weight in profile.weights}
    heavy = _HEAVY_SHARE * sum(sizes.values())
    edges = {
        edge
        for layer in profile.layers
        if sum(sizes[name] for name in layer.weights) >= max(heavy, 1)
        for edge in (layer.index, layer.index + 1)
    }
    return edges & {cut.index for cut in profile.cut_positions}

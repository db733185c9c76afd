"""The measurements of a profile that need a worker under real limits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from mopar.bundle import build, open_bundle
from mopar.files import temporary_folder
from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.measurement.call_costs import init_ms, runtime_costs
from mopar.measurement.recording import record
from mopar.measurement.required_memory import MemoryMeasurement, required_memory
from mopar.planning import plan_cuts, plan_uniform, plan_unsplit
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.platforms.books import load_book, load_limits
from mopar.profiling import MeasuredMemory
from mopar.types import Graph, MemorySample, Plan, Profile, RuntimeCosts

_SAMPLES = 4
_HEAVY_SHARE = 0.2
_TIMED_SHARE = 0.3
"""Of a profile's time, about what is over when memory is measured."""

Progress = Callable[[str, float | None], None]


class WorkerProbe:
    """Measures with workers of the local platform.

    Args:
        use_cache: whether the machine's constants may come from an earlier measurement.
        progress: told one line per step, and what share of a profile is done by then.
    """

    def __init__(self, *, use_cache: bool = True, progress: Progress = lambda _line, _share: None) -> None:
        self._use_cache = use_cache
        self._progress = progress
        self._done, self._functions = 0, 1

    def memory(self, model: Model, profile: Profile, inputs: Mapping[str, Array]) -> MeasuredMemory:
        """Required memory of the whole model as one function, and of slices of equal time.

        A layer that holds a large part of the weights is a slice of its own: a planner likes to set it apart,
        and whether its weights are all read (a table's are not) shows in no other way.
        """
        limits = load_limits("local")
        book = load_book(limits.prices)
        uniform = plan_uniform(profile, book, limits, _SAMPLES, slo_ms=None)
        cuts = {graph.start for graph in uniform.graphs[1:]} | _around_heavy_layers(profile)
        self._done, self._functions = 0, 1 + (len(cuts) + 1 if cuts else 0)
        with _launches(model, plan_unsplit(profile, book, limits, slo_ms=None), inputs) as (launch,):
            whole_mib, ready_ms = self._measured(launch, "the whole model").required_mib, init_ms(launch)
        samples: tuple[MemorySample, ...] = ()
        if cuts:
            sampled = plan_cuts(profile, book, limits, sorted(cuts), slo_ms=None, max_functions=len(cuts) + 1)
            with _launches(model, sampled, inputs) as launches:
                samples = self._samples(sampled.graphs, launches)
        return MeasuredMemory(whole_mib, ready_ms, samples)

    def runtime(self) -> RuntimeCosts:
        """What every function pays on this machine."""
        return runtime_costs(use_cache=self._use_cache, progress=lambda line: self._progress(line, None))

    def _samples(self, graphs: Sequence[Graph], launches: Sequence[FunctionLaunch]) -> tuple[MemorySample, ...]:
        """One after the other: slices of one model mostly need about as much less than expected as the one before."""
        samples, surplus_mib = [], 0.0
        for graph, launch in zip(graphs, launches, strict=True):
            what = f"layers {graph.start} to {graph.stop - 1}"
            measured = self._measured(launch, what, surplus_mib)
            samples.append(MemorySample(graph.start, graph.stop, measured.required_mib))
            surplus_mib = measured.surplus_mib
        return tuple(samples)

    def _measured(self, launch: FunctionLaunch, what: str, surplus_mib: float = 0.0) -> MemoryMeasurement:
        share = _TIMED_SHARE + (1 - _TIMED_SHARE) * self._done / self._functions

        def say(line: str) -> None:
            self._progress(f"{what}: {line}", share)

        found = required_memory(launch, cpu=1.0, surplus_mib=surplus_mib, progress=say)
        self._done += 1
        return found


@contextmanager
def _launches(model: Model, plan: Plan, inputs: Mapping[str, Array]) -> Iterator[tuple[FunctionLaunch, ...]]:
    """The functions of a plan, built in a folder that is gone afterwards, with their calls of one request."""
    with temporary_folder("mopar-probe-") as folder:
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

"""The measurements of a profile that need a worker under real limits."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mopar.evaluation.costs import init_ms, runtime_costs
from mopar.evaluation.launch import FunctionLaunch
from mopar.evaluation.recording import record
from mopar.evaluation.single import chain_bundle
from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.profiling.memory import required_memory
from mopar.types import PACKED_OPTIONS, RuntimeCosts


class WorkerProbe:
    """Measures with workers of the local platform.

    Args:
        cpu: share of a CPU that they get.
        use_cache: whether the machine's constants may come from an earlier measurement.
        progress: told one line per step.
    """

    def __init__(
        self, *, cpu: float = 1.0, use_cache: bool = True, progress: Callable[[str], None] = lambda _line: None
    ) -> None:
        self._cpu = cpu
        self._use_cache = use_cache
        self._progress = progress

    def whole(self, model: Model, packed: Path, inputs: Mapping[str, Array]) -> tuple[float, float]:
        """Required memory of the whole model as one function in MiB; from exec to ready in ms."""
        bundle = chain_bundle(model.name, (_with_weights(packed),), (model.inputs, model.outputs), PACKED_OPTIONS)
        (function,) = bundle.manifest.plan.functions
        recording = record(bundle, inputs)
        launch = FunctionLaunch(bundle, function, recording.calls[function.name])
        measured = required_memory(launch, cpu=self._cpu, progress=self._progress)
        return measured.required_mib, init_ms(launch)

    def runtime(self) -> RuntimeCosts:
        """What every function pays on this machine."""
        return runtime_costs(use_cache=self._use_cache, progress=self._progress)


def _with_weights(packed: Path) -> tuple[Path, ...]:
    weights = packed.with_name(packed.name + ".data")
    return (packed, weights) if weights.exists() else (packed,)

"""``mopar calibrate``: measure models of random blocks on this machine, and fit what they took."""

import datetime as dt
import itertools
import time

from mopar.costmodel.fit import fit_dispatch, fit_families, require_sklearn
from mopar.costmodel.fit_memory import fit_memory
from mopar.costmodel.networks import synthetic
from mopar.costmodel.resource_model import ResourceModel, SampleCounts
from mopar.costmodel.samples import ModelSamples
from mopar.files import cache_directory, temporary_folder
from mopar.machine import machine_facts
from mopar.measurement.call_costs import runtime_costs
from mopar.pipeline.calibration.corpus import Effort, measured_samples
from mopar.profiling import Progress, RunBudget
from mopar.types import MoparError, RuntimeCosts, UsageError

_LEAST_MIN = 0.5
_TIMES_SHARE = 0.55
_FIT_S = 30.0
TIMES = Effort(uniform=0, random=0, budget=RunBudget(seconds=1.0, min_runs=7, max_runs=100, warm_runs=2))
MEMORY = Effort(
    two_threads=False, uniform=2, random=1, requests=10,
    budget=RunBudget(seconds=0.0, min_runs=1, max_runs=1, warm_runs=0),
)  # fmt: skip


def calibrate(
    *, budget_min: float = 12.0, use_cache: bool = True, progress: Progress = lambda _stage, _share: None
) -> ResourceModel:
    """Measure calibration models until the budget is spent, and fit a resource model.

    What was measured is kept: a calibration that was interrupted goes on where it was.

    Args:
        budget_min: minutes that measuring may take; fitting takes half a minute more.
        use_cache: whether earlier measurements on this machine count.
        progress: called with each stage, and the share of all that is done.

    Raises:
        UsageError: scikit-learn is missing, or the budget is too small to measure anything.
        MoparError: no model could be measured.
    """
    require_sklearn()
    if not budget_min >= _LEAST_MIN:
        raise UsageError(f"--budget-min {budget_min:g}: too little to measure anything; give at least {_LEAST_MIN:g}")
    begun = time.monotonic()
    budget_s = max(60.0 * budget_min - _FIT_S, 30.0 * budget_min)
    progress("measuring what every function costs", 0.0)
    runtime = runtime_costs(use_cache=use_cache, progress=lambda line: progress(line, None))
    measuring = _Measuring(runtime, use_cache, progress)
    times = measuring.until(TIMES, begun + _TIMES_SHARE * budget_s, (0.0, _TIMES_SHARE))
    memory = measuring.until(MEMORY, begun + budget_s, (_TIMES_SHARE, 0.95))
    progress("fitting", 0.95)
    model = fitted(times, memory, runtime)
    progress("done", 1.0)
    return model


def fitted(
    times: list[ModelSamples], memory: list[ModelSamples], runtime: RuntimeCosts, *, errors: bool = True
) -> ResourceModel:
    """A resource model of this machine from what was measured.

    Args:
        times: models whose kernels count.
        memory: models whose slices count.
        runtime: what every function pays.
        errors: whether to find error bars by leaving models out, which takes several fits more.
    """
    return ResourceModel(
        machine=machine_facts(),
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        families=fit_families(times, errors=errors),
        dispatch_ms=fit_dispatch(times),
        memory=fit_memory(memory, errors=errors),
        runtime=runtime,
        samples=SampleCounts(
            models=len(times),
            kernels=sum(len(model.kernels) for model in times),
            slices=sum(len(model.memory) for model in memory),
        ),
    )


class _Measuring:
    """Calibration models, measured one after the other until a time."""

    def __init__(self, runtime: RuntimeCosts, use_cache: bool, progress: Progress) -> None:
        self._runtime, self._progress = runtime, progress
        self._cache = cache_directory() / "resources" / "samples" if use_cache else None

    def until(self, effort: Effort, deadline: float, shares: tuple[float, float]) -> list[ModelSamples]:
        """At least one model; more while the deadline allows.

        Raises:
            MoparError: none could be measured.
        """
        begun = time.monotonic()
        found: list[ModelSamples] = []
        for name in itertools.islice(synthetic.names(), 1000):
            passed = (time.monotonic() - begun) / max(deadline - begun, 1e-3)
            if found and passed >= 1.0:
                break
            share = shares[0] + (shares[1] - shares[0]) * min(passed, 1.0)
            self._progress(f"{len(found)} models measured, now {name}", share)
            found.append(self._one(name, effort))
        return found

    def _one(self, name: str, effort: Effort) -> ModelSamples:
        with temporary_folder("mopar-calibrate-") as folder:
            path = synthetic.write(name, folder / f"{name}.onnx")
            try:
                return measured_samples(
                    path,
                    effort,
                    base_mib=self._runtime.base_mib,
                    cache=self._cache,
                    say=lambda line: self._progress(line, None),
                )
            except MoparError as cause:
                raise type(cause)(f"calibration model {name}: {cause}") from cause

"""What every function pays on this machine, measured on graphs that do next to nothing."""

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mopar.bundle import Bundle
from mopar.files import cache_directory, from_json, read_bounded, temporary_folder, to_json, write_whole
from mopar.limits import evict_files
from mopar.machine import last_cache_mib, machine_facts
from mopar.measurement.cost_graphs import MIB_PER_FLOAT, ROWS, STAGES, WIDTH, elementwise, working
from mopar.measurement.exchange import exchange_ms
from mopar.measurement.interleaved import Added, Spent, added_by, spent_on
from mopar.measurement.policy import LATENCY, MEMORY
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.profiling.cache import cache_key
from mopar.types import ProfileError, RuntimeCosts
from mopar.types.profile import COLD_HALF_MS, IDLE_HALF_MS

_SMALL = 768
_LARGE = 1 << 20
_USUAL_CACHE_MIB, _MOST_CACHE_MIB = 32.0, 64.0
_SIDE_BY_SIDE = 2
_ANY_LATENCY = replace(MEMORY, tolerance=1.0, resolution_mib=0.5)
"""A graph this small spends its time in the hop, which is noise: what counts is that it answers."""


def runtime_costs(*, use_cache: bool = True, progress: Callable[[str], None] = lambda _line: None) -> RuntimeCosts:
    """The machine's constants: measured once, then kept beside the profiles.

    Raises:
        PlatformError, EngineError: a worker cannot be run here.
    """
    path = cache_directory() / "runtime" / f"{cache_key(machine_facts())}.json"
    if use_cache:
        try:
            found = from_json(read_bounded(path), RuntimeCosts, what=str(path), error=ProfileError)
        except (OSError, ProfileError):
            found = None
        if found is not None and (found.exchange_ms is not None or machine_facts().cores < _SIDE_BY_SIDE):
            return found
        progress("measuring what every function costs on this machine")
    costs = _measure()
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        write_whole(path, to_json(costs))
    return costs


def _measure() -> RuntimeCosts:
    """The constants, from functions that do nothing and from such that compute.

    Functions that compute touch more than the last cache holds, as most models do. Behind ``k`` of them, of ``t`` ms
    each, one that does next to nothing takes ``call`` longer than behind its like. The ``k`` pay ``call`` too, and
    ``cold * t / (t + COLD_HALF_MS) * (1 - 1 / k)``; the whole, alone, pays neither. So all ``k`` functions that are
    added take ``k * hop + (k + 1) * call + k * cold * t / (t + COLD_HALF_MS) * (1 - 1 / k)``.
    """
    with temporary_folder("mopar-costs-") as root:
        small, large = (elementwise(root, size) for size in (_SMALL, _LARGE))
        base_mib, ready_ms = _base(small[0])
        # The latency of waking an idle core is a constant of its own.
        hop = min((_added(*small) for _ in range(LATENCY.tries)), key=lambda added: added.latency_ms)
        per_mib = (_added(*large).latency_ms - hop.latency_ms) / ((_LARGE - _SMALL) * MIB_PER_FLOAT)
        chain = working(root, min(last_cache_mib() or _USUAL_CACHE_MIB, _MOST_CACHE_MIB))
        lengthy = _added(*chain, LATENCY.long_rounds)
        cold, hot = _spent(chain[1], LATENCY.few_rounds), _spent(elementwise(root, ROWS * WIDTH)[1], LATENCY.rounds)
        per_step_ms = exchange_ms(root) if machine_facts().cores >= _SIDE_BY_SIDE else None
    hop_ms = max(hop.latency_ms, 0.0)
    hop_billed_ms = min(max(hop.billed_ms, 0.0), hop_ms)
    stage_ms = statistics.fmean(cold.inside_ms[:STAGES])
    cold_call_ms = max(cold.inside_ms[-1] - hot.inside_ms[-1], 0.0)
    wake_ms = max(cold.outside_ms / len(cold.inside_ms) - hot.outside_ms / len(hot.inside_ms), 0.0)
    grown_ms = max(lengthy.billed_ms - hop_billed_ms - cold_call_ms * (1 + 1 / STAGES), 0.0) / (1 - 1 / STAGES)
    ever = 1 + IDLE_HALF_MS / (stage_ms * (STAGES - 1))
    return RuntimeCosts(
        base_mib=base_mib,
        hop_ms=hop_ms,
        hop_billed_ms=hop_billed_ms,
        wire_ms_per_mib=max(per_mib, 0.0),
        init_ms=ready_ms,
        cold_call_ms=cold_call_ms * ever,
        cold_ms=grown_ms * (1 + COLD_HALF_MS / stage_ms),
        wake_ms=wake_ms * ever,
        exchange_ms=per_step_ms,
    )


def _base(bundle: Bundle) -> tuple[float, float]:
    """Required memory of a worker whose graph does nothing, and its time from exec to ready."""
    recording = record(bundle, {"t0": np.zeros(_SMALL, dtype=np.float32)})
    (function,) = bundle.manifest.plan.functions
    launch = host_platform().launch(bundle, function.name, recording.calls[function.name])
    measured = required_memory(launch, cpu=1.0, policy=_ANY_LATENCY)
    return measured.required_mib, init_ms(launch)


def init_ms(launch: FunctionLaunch, rounds: int = LATENCY.starts, *, from_disk: bool = False) -> float:
    """Median time from exec to ready; the function's files are in the page cache, or read ``from_disk``."""
    times = []
    for _ in range(rounds):
        if from_disk:
            evict_files(launch.files)
        started = time.perf_counter()
        with launch.start(None):
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def _spent(bundle: Bundle, rounds: int) -> Spent:
    found = [spent_on(bundle, rounds=rounds) for _ in range(LATENCY.tries)]
    inside = tuple(statistics.median(times) for times in zip(*(one.inside_ms for one in found), strict=True))
    return Spent(inside, statistics.median(one.outside_ms for one in found))


def _added(one: Bundle, many: Bundle, rounds: int = LATENCY.rounds) -> Added:
    """What each further function adds to ``one``."""
    more = len(many.manifest.plan.functions) - len(one.manifest.plan.functions)
    found = added_by(one, many, rounds=rounds)
    return Added(found.latency_ms / more, found.billed_ms / more)

"""What every function pays on this machine, measured on graphs that do next to nothing."""

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mopar.bundle import Bundle
from mopar.files import cache_directory, from_json, read_bounded, temporary_folder, to_json, write_whole
from mopar.gateway.arrays import Array
from mopar.graph import save_model
from mopar.machine import last_cache_mib, machine_facts
from mopar.measurement.exchange import exchange_ms
from mopar.measurement.interleaved import Added, Spent, added_by, spent_on
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.measurement.single import chain_bundle
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.profiling.cache import profile_key
from mopar.types import PACKED_OPTIONS, ProfileError, RuntimeCosts, TensorSpec
from mopar.types.profile import COLD_HALF_MS, IDLE_HALF_MS

_SMALL = 768
_LARGE = 1 << 20
_STAGES, _ROWS, _WIDTH = 4, 128, 640
_USUAL_CACHE_MIB, _MOST_CACHE_MIB = 32.0, 64.0
_ROUNDS = 120
_TRIES = 3
"""For as long as processes run, the system has who wakes and who is woken on one core, or on two that fall asleep."""
_LONG_ROUNDS, _FEW_ROUNDS = 40, 15
_WARM_ROUNDS = 10
_SIDE_BY_SIDE = 2
_MIB_PER_FLOAT = 4 / (1 << 20)


def runtime_costs(*, use_cache: bool = True, progress: Callable[[str], None] = lambda _line: None) -> RuntimeCosts:
    """The machine's constants: measured once, then kept beside the profiles.

    Raises:
        PlatformError, EngineError: a worker cannot be run here.
    """
    path = cache_directory() / "runtime" / f"{profile_key(machine_facts())}.json"
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
        small, large = (_elementwise(root, size) for size in (_SMALL, _LARGE))
        base_mib, ready_ms = _base(small[0])
        # What waking up costs is a constant of its own.
        hop = min((_added(*small) for _ in range(_TRIES)), key=lambda added: added.latency_ms)
        per_mib = (_added(*large).latency_ms - hop.latency_ms) / ((_LARGE - _SMALL) * _MIB_PER_FLOAT)
        working = _working(root, min(last_cache_mib() or _USUAL_CACHE_MIB, _MOST_CACHE_MIB))
        lengthy = _added(*working, _LONG_ROUNDS)
        cold, hot = _spent(working[1], _FEW_ROUNDS), _spent(_elementwise(root, _ROWS * _WIDTH)[1], _ROUNDS)
        per_step_ms = exchange_ms(root) if machine_facts().cores >= _SIDE_BY_SIDE else None
    hop_ms = max(hop.latency_ms, 0.0)
    hop_billed_ms = min(max(hop.billed_ms, 0.0), hop_ms)
    stage_ms = statistics.fmean(cold.inside_ms[:_STAGES])
    cold_call_ms = max(cold.inside_ms[-1] - hot.inside_ms[-1], 0.0)
    woken_ms = max(cold.outside_ms / len(cold.inside_ms) - hot.outside_ms / len(hot.inside_ms), 0.0)
    grown_ms = max(lengthy.billed_ms - hop_billed_ms - cold_call_ms * (1 + 1 / _STAGES), 0.0) / (1 - 1 / _STAGES)
    ever = 1 + IDLE_HALF_MS / (stage_ms * (_STAGES - 1))
    return RuntimeCosts(
        base_mib=base_mib,
        hop_ms=hop_ms,
        hop_billed_ms=hop_billed_ms,
        wire_ms_per_mib=max(per_mib, 0.0),
        init_ms=ready_ms,
        cold_call_ms=cold_call_ms * ever,
        cold_ms=grown_ms * (1 + COLD_HALF_MS / stage_ms),
        wake_ms=woken_ms * ever,
        exchange_ms=per_step_ms,
    )


def _elementwise(root: Path, size: int) -> tuple[Bundle, Bundle]:
    """The same two operators in one function, and in two: what a tensor's size adds."""
    spec = TensorSpec("x", "float32", (size,))
    return _split(root, f"elementwise{size}", spec, [[("Abs", None)], [("Neg", None)]])


def _working(root: Path, cache_mib: float) -> tuple[Bundle, Bundle]:
    """Matrix products whose weights fill the last cache twice, and an operator that does next to nothing.

    All in one function, and in several with the same number of products, the operator in the last by itself. A function
    that computes pays more for a call than an idle loop does: it finds its caches cold, and between two calls both its
    core and the gateway's have gone to sleep.
    """
    columns = int(cache_mib / _STAGES / _MIB_PER_FLOAT / _WIDTH)
    stages: list[list[tuple[str, Array | None]]] = [
        [("MatMul", _weight(_WIDTH, columns)), ("Relu", None), ("MatMul", _weight(columns, _WIDTH)), ("Relu", None)]
        for _ in range(_STAGES)
    ]
    return _split(root, "working", TensorSpec("x", "float32", (_ROWS, _WIDTH)), [*stages, [("Neg", None)]])


def _weight(rows: int, columns: int) -> Array:
    return np.full((rows, columns), 1 / rows, dtype=np.float32)


def _split(
    root: Path, name: str, spec: TensorSpec, stages: list[list[tuple[str, Array | None]]]
) -> tuple[Bundle, Bundle]:
    """Stages as one function, and as one function each; all tensors between them are of the same shape."""
    specs = [replace(spec, name=f"t{i}") for i in range(len(stages) + 1)]
    whole = _write(root, f"{name}-whole", specs[0], specs[-1], [step for stage in stages for step in stage])
    parts = tuple(_write(root, f"{name}-part{i}", specs[i], specs[i + 1], stage) for i, stage in enumerate(stages))
    one = chain_bundle("costs", (whole,), ((specs[0],), (specs[-1],)), PACKED_OPTIONS)
    return one, chain_bundle("costs", parts, tuple((item,) for item in specs), PACKED_OPTIONS)


def _write(
    root: Path, name: str, first: TensorSpec, last: TensorSpec, steps: list[tuple[str, Array | None]]
) -> tuple[Path, ...]:
    shape = list(first.shape or ())
    value = head = ir.Value(name=first.name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
    nodes, weights = [], []
    for i, (operator, weight) in enumerate(steps):
        inputs = [value]
        if weight is not None:
            weights.append(ir.Value(name=f"w{i}", const_value=ir.tensor(weight, name=f"w{i}")))
            inputs.append(weights[-1])
            shape[-1] = weight.shape[-1]
        label = last.name if i == len(steps) - 1 else f"{name}{i}"
        value = ir.Value(name=label, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
        nodes.append(ir.Node("", operator, inputs, outputs=[value], name=f"{operator}{i}"))
    graph = ir.Graph([head], [value], nodes=nodes, initializers=weights, opset_imports={"": 17}, name=name)
    return save_model(ir.Model(graph, ir_version=8), root / f"{name}.onnx")


def _base(bundle: Bundle) -> tuple[float, float]:
    """Required memory of a worker whose graph does nothing, and its time from exec to ready."""
    recording = record(bundle, {"t0": np.zeros(_SMALL, dtype=np.float32)})
    (function,) = bundle.manifest.plan.functions
    launch = host_platform().launch(bundle, function.name, recording.calls[function.name])
    # A graph this small spends its time in the hop, which is noise: what counts is that it answers.
    measured = required_memory(launch, cpu=1.0, tolerance=1.0, resolution_mib=0.5)
    return measured.required_mib, init_ms(launch)


def init_ms(launch: FunctionLaunch, rounds: int = 3) -> float:
    """Median time from exec to ready, files in the page cache."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        with launch.start(None):
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def _spent(bundle: Bundle, rounds: int) -> Spent:
    found = [spent_on(bundle, warm_rounds=_WARM_ROUNDS, rounds=rounds) for _ in range(_TRIES)]
    inside = tuple(statistics.median(times) for times in zip(*(one.inside_ms for one in found), strict=True))
    return Spent(inside, statistics.median(one.outside_ms for one in found))


def _added(one: Bundle, many: Bundle, rounds: int = _ROUNDS) -> Added:
    """What each further function adds to ``one``; ``one_ms`` is a function's part of that."""
    more = len(many.manifest.plan.functions) - len(one.manifest.plan.functions)
    found = added_by(one, many, warm_rounds=_WARM_ROUNDS, rounds=rounds)
    return Added(found.latency_ms / more, found.billed_ms / more, found.one_ms / (more + 1))

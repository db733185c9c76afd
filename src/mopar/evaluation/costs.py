"""What every function pays on this machine, measured on graphs that do next to nothing."""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mopar.bundle import Bundle
from mopar.evaluation.launch import FunctionLaunch
from mopar.evaluation.recording import record
from mopar.evaluation.single import chain_bundle
from mopar.files import cache_directory, from_json, to_json, write_whole
from mopar.gateway.arrays import Array, from_array
from mopar.gateway.runner import Runner
from mopar.graph import save_model
from mopar.machine import machine_facts
from mopar.platforms.local import LocalDeployment
from mopar.profiling.cache import profile_key
from mopar.profiling.memory import required_memory
from mopar.types import PACKED_OPTIONS, ProfileError, RuntimeCosts, TensorSpec

_SMALL = 768
_LARGE = 1 << 20
_ROUNDS = 200
_WARM_ROUNDS = 20
_DEADLINE_S = 10.0
_MIB_PER_FLOAT = 4 / (1 << 20)


def runtime_costs(*, use_cache: bool = True, progress: Callable[[str], None] = lambda _line: None) -> RuntimeCosts:
    """The machine's constants: measured once, then kept beside the profiles.

    Raises:
        PlatformError, EngineError: a worker cannot be run here.
    """
    path = cache_directory() / "runtime" / f"{profile_key(machine_facts())}.json"
    if use_cache:
        try:
            return from_json(path.read_bytes(), RuntimeCosts, what=str(path), error=ProfileError)
        except (OSError, ProfileError):
            progress("measuring what every function costs on this machine")
    costs = _measure()
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        write_whole(path, to_json(costs))
    return costs


def _measure() -> RuntimeCosts:
    with tempfile.TemporaryDirectory(prefix="mopar-costs-") as folder:
        root = Path(folder)
        small, large = (_pair(root, size) for size in (_SMALL, _LARGE))
        base_mib, init_ms = _base(small[0])
        hop_small_ms = _added_ms(*small, _SMALL)
        hop_large_ms = _added_ms(*large, _LARGE)
    per_mib = (hop_large_ms - hop_small_ms) / ((_LARGE - _SMALL) * _MIB_PER_FLOAT)
    return RuntimeCosts(base_mib=base_mib, hop_ms=hop_small_ms, wire_ms_per_mib=max(per_mib, 0.0), init_ms=init_ms)


def _pair(root: Path, size: int) -> tuple[Bundle, Bundle]:
    """The same two operators in one function, and in two."""
    specs = {name: TensorSpec(name, "float32", (size,)) for name in ("x", "y", "z")}
    whole = _write(root, f"whole{size}", specs, ("Abs", "Neg"), "xyz")
    parts = tuple(
        (_write(root, f"part{i}-{size}", specs, (op,), names),)
        for i, (op, names) in enumerate((("Abs", "xy"), ("Neg", "yz")))
    )
    one = chain_bundle("costs", ((whole,),), ((specs["x"],), (specs["z"],)), PACKED_OPTIONS)
    two = chain_bundle("costs", parts, ((specs["x"],), (specs["y"],), (specs["z"],)), PACKED_OPTIONS)
    return one, two


def _write(root: Path, name: str, specs: Mapping[str, TensorSpec], operators: tuple[str, ...], names: str) -> Path:
    values = [
        ir.Value(name=n, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(specs[n].shape or ())) for n in names
    ]
    nodes = [ir.Node("", op, [values[i]], outputs=[values[i + 1]], name=f"{op}{i}") for i, op in enumerate(operators)]
    graph = ir.Graph([values[0]], [values[-1]], nodes=nodes, opset_imports={"": 17}, name=name)
    return save_model(ir.Model(graph, ir_version=8), root / f"{name}.onnx")[0]


def _base(bundle: Bundle) -> tuple[float, float]:
    """Required memory of a worker whose graph does nothing, and its time from exec to ready."""
    recording = record(bundle, _request(_SMALL))
    (function,) = bundle.manifest.plan.functions
    launch = FunctionLaunch(bundle, function, recording.calls[function.name])
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


def _added_ms(one: Bundle, two: Bundle, size: int) -> float:
    """Latency that a second function adds, alternating with the one."""
    return asyncio.run(_added(one, two, size))


async def _added(one: Bundle, two: Bundle, size: int) -> float:
    values = {name: from_array(name, value) for name, value in _request(size).items()}
    times: tuple[list[float], list[float]] = ([], [])
    async with LocalDeployment(one, limits=False) as first, LocalDeployment(two, limits=False) as second:
        runners = Runner(one.manifest, first.functions), Runner(two.manifest, second.functions)
        for round_number in range(_WARM_ROUNDS + _ROUNDS):
            for runner, samples in zip(runners, times, strict=True):
                started = time.perf_counter()
                async with runner.infer(values, None, _DEADLINE_S):
                    elapsed_ms = (time.perf_counter() - started) * 1e3
                if round_number >= _WARM_ROUNDS:
                    samples.append(elapsed_ms)
        for runner in runners:
            await runner.close()
    return max(statistics.median(times[1]) - statistics.median(times[0]), 0.0)


def _request(size: int) -> dict[str, Array]:
    return {"x": np.linspace(-1, 1, size, dtype=np.float32)}

"""Shared by the benchmarks: facts of the machine, spread of samples, tables, and raw samples."""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mopar.files import to_json, write_whole
from mopar.machine import machine_facts

_METRICS_S = 60.0


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Parser of a benchmark's arguments, with ``--json FILE`` among them."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write raw samples there")
    return made


def say_where(seed: int | None, *packages: str) -> None:
    """Print the machine, its load, the versions, and the seed."""
    facts = machine_facts()
    print(f"{facts.cpu_model}, {facts.cores} cores, {facts.memory_mib} MiB, Linux {facts.kernel}")
    versions = [f"{name} {version(name)}" for name in ("numpy", *packages)]
    print(f"mopar {facts.mopar}, Python {facts.python}, onnxruntime {facts.onnxruntime}, {', '.join(versions)}")
    busy = f"load average {os.getloadavg()[0]:.2f} (figures want a machine that does nothing else)"
    print(f"{'' if seed is None else f'seed {seed}; '}{busy}\n", flush=True)


def write_raw(path: Path | None, benchmark: str, document: Mapping[str, Any]) -> None:
    """Write the measurements and the machine, if ``--json`` was given."""
    if path is not None:
        write_whole(path, to_json({"benchmark": benchmark, "machine": machine_facts(), **document}))
        print(f"\nraw samples: {path}")


def counters(url: str) -> dict[str, float]:
    """The gateway's counters of retried calls and of restarted workers, over all functions."""
    root = url.partition("/v2")[0]
    with urllib.request.urlopen(f"{root}/metrics", timeout=_METRICS_S) as response:  # noqa: S310  our own server
        lines = response.read().decode().splitlines()
    found: dict[str, float] = {"retries": 0.0, "restarts": 0.0}
    for line in lines:
        for name in found:
            if line.startswith(f"mopar_function_{name}_total"):
                found[name] += float(line.rpartition(" ")[2])
    return found


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of samples."""

    count: int
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float

    def text(self, form: str = ".3f") -> str:
        """The median, and in brackets the interquartile range."""
        return f"{self.p50:{form}} [{self.p25:{form}}, {self.p75:{form}}]"


def spread(samples: Sequence[float]) -> Spread:
    """Percentiles of samples; of a single one, itself."""
    if len(samples) == 1:
        return Spread(1, *[samples[0]] * 5)
    cuts = statistics.quantiles(samples, n=20, method="inclusive")
    return Spread(len(samples), cuts[0], cuts[4], statistics.median(samples), cuts[14], cuts[18])


def error_cells(errors: Sequence[float], goals: tuple[float, float]) -> tuple[str, str]:
    """Median and p95 of relative errors, whatever their sign, each with its goal and whether it is met."""
    found = spread([abs(error) for error in errors])
    middle, tail = (
        f"{value:.1%} (goal {goal:.0%}: {met(value <= goal)})"
        for value, goal in zip((found.p50, found.p95), goals, strict=True)
    )
    return middle, tail


def code_digest(*more: Path) -> str:
    """Digest of mopar's sources and ``more`` files: what kept results depend on."""
    found = hashlib.sha256()
    for file in (*sorted((Path(__file__).parents[1] / "src" / "mopar").rglob("*.py")), *more):
        found.update(file.read_bytes())
    return found.hexdigest()[:10]


def torch_spec(name: str) -> str:
    """MODULE:CALLABLE of a zoo model as torch serves it."""
    return f"benchmarks.zoo_torch:{name.replace('-', '_')}"


def write_torch_weights(name: str) -> None:
    """Write what ``torch_spec`` maps; in a process of its own, with which the memory that torch retains is released."""
    subprocess.run([sys.executable, "-m", "benchmarks.zoo_torch", name], cwd=Path(__file__).parents[1], check=True)


def met(reached: bool) -> str:
    """Whether a goal is met, as a word."""
    return "met" if reached else "MISSED"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under column headers, as Markdown that is readable as plain text too."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for cells in (columns, ["-" * width for width in widths], *rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |")
    print(flush=True)

"""Opens and queries tampered bundles in a separate process; outputs are compared with an oracle."""

import asyncio
import json
import random
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.attacks.bundles import changed, manifest_only
from mopar.bundle import Bundle, compare_all, open_bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.gateway.options import ServeOptions
from mopar.measurement.recording import record
from mopar.pipeline.serve import memory_budget
from mopar.platforms.local import LocalDeployment
from mopar.types import BundleError, MoparError

DEADLINE_S = 10.0


def case(number: int, bases: list[Path], room: Path) -> dict[str, object]:
    """Change a bundle by the case's number, open it, and query it if it opens."""
    rng = random.Random(number)
    base = bases[number % len(bases)]
    target = room / f"case-{number}"
    shutil.rmtree(target, ignore_errors=True)
    change = changed(base / "bundle", target / "bundle", rng)
    begun = time.monotonic()
    try:
        outcome, text = _outcome(base, target / "bundle", manifest_only(change))
    finally:
        shutil.rmtree(target, ignore_errors=True)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    workers_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    return {
        "number": number, "base": base.name, "change": change, "outcome": outcome, "text": text,
        "seconds": time.monotonic() - begun, "mib": max(peak_mib, workers_mib),
    }  # fmt: skip


def _outcome(base: Path, root: Path, unchanged: bool) -> tuple[str, str]:
    try:
        bundle = open_bundle(root)
    except BundleError as error:
        return ("refused", str(error)) if "\n" not in str(error) else ("MISS several lines", str(error))
    requests = [dict(np.load(path)) for path in sorted(base.glob("request*.npz"))]
    try:
        answers = asyncio.run(_answers(bundle, requests))
    except MoparError as error:
        return ("not started", str(error)) if "\n" not in str(error) else ("MISS several lines", str(error))
    errors = 0
    for number, (inputs, got) in enumerate(zip(requests, answers, strict=True)):
        if isinstance(got, MoparError):
            errors += 1
            continue
        want = dict(np.load(base / f"answer{number}.npz")) if unchanged else _as_files_say(base, bundle, inputs)
        wrong = _wrong(got, want)
        if wrong:
            return "MISS wrong answer", wrong
    return ("answered with an error" if errors == len(answers) else "answered right"), ""


def _wrong(got: Mapping[str, Array], want: Mapping[str, Array] | None) -> str:
    if want is None:
        return "an answer where the graphs as they are give none"
    for name in got:
        if name not in want or got[name].dtype != want[name].dtype or got[name].shape != want[name].shape:
            return f"{name} is of another type or shape"
    known = {name: want[name] for name in got}
    return "" if all(found.equal for found in compare_all(got, known)) else f"{', '.join(got)} differ"


async def _answers(bundle: Bundle, requests: list[dict[str, Array]]) -> list[dict[str, Array] | MoparError]:
    """Return the outputs of each request as the gateway would compute them, or the error that it would return."""
    found: list[dict[str, Array] | MoparError] = []
    async with LocalDeployment(bundle, limits=False) as deployment:
        budget = memory_budget(bundle.manifest, ServeOptions(max_memory_mib=1024))
        executor = Executor(bundle.manifest, deployment.transport(), budget=budget)
        try:
            for inputs in requests:
                values = {name: from_array(name, value) for name, value in inputs.items()}
                try:
                    async with executor.infer(values, None, DEADLINE_S) as answer:
                        found.append({value.name: to_array(value).copy() for value in answer.outputs})
                except MoparError as error:
                    found.append(error)
        finally:
            await executor.close()
    return found


def _as_files_say(base: Path, bundle: Bundle, inputs: Mapping[str, Array]) -> Mapping[str, Array] | None:
    """Return the outputs of the changed files under the original manifest: a file whose hash matches is the graph.

    None where they have none.
    """
    built = open_bundle(base / "bundle", check=False).manifest
    portable = all(bundle.runnable(graph)[1] == graph.options for graph in bundle.manifest.graphs)
    if portable:
        built = replace(built, graphs=tuple(replace(graph, packed=None) for graph in built.graphs))
    try:
        return record(replace(bundle, manifest=built), inputs).outputs
    except MoparError:
        return None


def main() -> None:
    """Read numbers from standard input, one a line; write a line of JSON for each."""
    room, most_bytes, *bases = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (int(most_bytes), int(most_bytes)))
    for line in sys.stdin:
        print(json.dumps(case(int(line), [Path(base) for base in bases], Path(room))), flush=True)


if __name__ == "__main__":
    main()

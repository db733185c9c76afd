"""Tampered bundles and broken models: is each refused in one line, or answered correctly, within time and memory?

    python -m benchmarks.attack_files [--bundles 1000] [--models 200] [--log FILE] [--json FILE]

Each tampered bundle (fields of the manifest, files swapped, cut, grown, replaced by pipes, links and folders, ONNX
files with other content; most with recomputed hashes) is opened, and if it opens, served and queried. Outputs must be
those of the built bundle where the files are unchanged; where they were changed and their hashes match, those of the
changed graphs. Each broken model (damaged bytes, and models that declare more than their files contain) goes through
``load_model``. Each case runs in a process with limits on time and memory; tracebacks, hangs and crashes are failures.
With ``--log``, cases that the log has are skipped.
"""

import argparse
import json
import random
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import met, parser, say_where, table, write_raw
from benchmarks.soak import drawn, planned
from mopar.bundle import build
from mopar.pipeline.profile import predict_model
from mopar.pipeline.reference import ReferenceModel
from tests.graph import overdrawn
from tests.graph.test_damaged import cut_short, edited, flipped
from tests.models import materialise

BASES: dict[str, tuple[dict[str, str], str]] = {
    "skip": ({}, "slices"),
    "symbolic": ({"x": "1..4x1..8..16x16"}, "slices"),
    "two_input": ({}, "parts"),
    "unknown_size": ({}, "slices"),
}
MODELS = ("mlp", "skip", "if_capture", "loop_capture", "lstm", "sequence", "external", "constant_weights")
REQUESTS, TIMEOUT_S, MOST_BYTES = 3, 40.0, 6 << 30
LOAD = (
    "import sys; from pathlib import Path; from mopar.graph import load_model, check_loadable; "
    "from mopar.types import MoparError\n"
    "try: check_loadable(load_model(Path(sys.argv[1]))); print('loaded')\n"
    "except MoparError as error: print('refused' if '\\n' not in str(error) else 'MISS several lines')"
)
"""Code that a broken model is loaded with."""

Found = dict[str, Any]


class Child:
    """A process that runs cases by number, restarted when it hangs or dies."""

    def __init__(self, room: Path, bases: Sequence[Path]) -> None:
        self._command = [sys.executable, "-m", "benchmarks.attacks.answers", room, str(MOST_BYTES), *bases]
        self._process: subprocess.Popen[str] | None = None

    def take(self, number: int) -> Found:
        """Return a case's outcome."""
        if self._process is None:
            self._process = subprocess.Popen(
                list(map(str, self._command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        print(number, file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], TIMEOUT_S)[0]:
            self.stop()
            return {"number": number, "outcome": "MISS hang", "text": ""}
        line = process.stdout.readline()
        if line:
            found: Found = json.loads(line)
            return found
        text = process.stderr.read()
        self.stop()
        return {"number": number, "outcome": "MISS traceback or crash", "text": text[-2000:]}

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def made(name: str, folder: Path) -> Path:
    """Build a bundle with some requests and the reference model's outputs."""
    shapes, kind = BASES[name]
    home = folder / name
    home.mkdir()
    path, rng = materialise(name), np.random.default_rng(0)
    model, profile = predict_model(path, shapes=shapes)
    build(model, planned(profile, kind), home / "bundle")
    reference = ReferenceModel(path)
    for number in range(REQUESTS):
        inputs = drawn(profile, rng)
        np.savez(home / f"request{number}.npz", **inputs)  # type: ignore[arg-type]
        np.savez(home / f"answer{number}.npz", **reference.infer(inputs))  # type: ignore[arg-type]
    return home


def broken(number: int, folder: Path) -> Path:
    """Return a broken model by its number: first those that declare too much, then damaged ones."""
    if number < len(overdrawn.ALL):
        return overdrawn.ALL[number](folder)
    rng = random.Random(number)
    source = materialise(MODELS[number % len(MODELS)])
    for side in source.parent.iterdir():
        (folder / side.name).write_bytes(side.read_bytes())
    path = folder / source.name
    path.write_bytes(rng.choice((flipped, cut_short, edited))(source.read_bytes(), rng))
    return path


def load(number: int) -> Found:
    """Load a broken model and return the outcome."""
    with tempfile.TemporaryDirectory(prefix="mopar-attack-") as folder:
        path = broken(number, Path(folder))
        limit = f'ulimit -v {MOST_BYTES >> 10}; exec "$@"'
        command = ["sh", "-c", limit, "sh", sys.executable, "-W", "ignore", "-c", LOAD, str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return {"number": number, "outcome": "MISS hang", "text": path.name}
    outcome = done.stdout.strip() if done.returncode == 0 else "MISS traceback or crash"
    return {
        "number": number,
        "outcome": outcome,
        "text": f"{path.name} {done.stderr[-2000:]}" if done.returncode else "",
    }


def changed_bundles(numbers: Sequence[int]) -> Iterator[tuple[str, Found]]:
    """Return the outcome of each tampered bundle."""
    with tempfile.TemporaryDirectory(prefix="mopar-attack-") as folder:
        room = Path(folder)
        child = Child(room / "cases", [made(name, room) for name in BASES])
        try:
            for number in numbers:
                yield "bundle", child.take(number)
        finally:
            child.stop()


def campaign(options: argparse.Namespace, known: dict[tuple[str, int], Found]) -> Iterator[tuple[str, Found]]:
    """Run every case that the log does not have."""
    left = [number for number in range(options.bundles) if ("bundle", number) not in known]
    if left:
        yield from changed_bundles(left)
    for number in range(options.models):
        if ("model", number) not in known:
            yield "model", load(number)


def earlier(log: Path | None) -> dict[tuple[str, int], Found]:
    """Read the outcomes from a log."""
    if log is None or not log.exists():
        return {}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {(kind, found["number"]): found for kind, found in lines}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--bundles", type=int, default=1000)
    arguments.add_argument("--models", type=int, default=200)
    arguments.add_argument("--log", type=Path, metavar="FILE", help="of each case; those in it are not run again")
    options = arguments.parse_args()
    say_where(0)
    cases = earlier(options.log)
    for kind, found in campaign(options, cases):
        cases[kind, found["number"]] = found
        if found["outcome"].startswith("MISS"):
            print(f"{kind} {found}", flush=True)
        if options.log is not None:
            with options.log.open("a") as log:
                log.write(json.dumps([kind, found]) + "\n")
    counts = Counter((kind, found["outcome"]) for (kind, _), found in cases.items())
    missed = sum(count for (_, outcome), count in counts.items() if outcome.startswith("MISS"))
    table(("what", "outcome", "cases"), [(*key, str(count)) for key, count in sorted(counts.items())])
    bundles = [found for (kind, _), found in cases.items() if kind == "bundle" and "seconds" in found]
    longest, most = max((f["seconds"] for f in bundles), default=0), max((f["mib"] for f in bundles), default=0)
    print(f"longest case {longest:.1f} s, largest process {most} MiB; {met(not missed)}")
    write_raw(options.json, "attack_files", {"cases": [[*key, found] for key, found in cases.items()]})
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()

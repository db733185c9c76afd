"""Architectures of torchvision, timm and transformers: does every plan build, compute equal outputs, and serve?

    python -m benchmarks.every_architecture [--only NAME,..] [--again] [--limit-s 240] [--json FILE]

Each has small sizes and random weights with which every layer affects the output. It is exported (capture checks the
outputs), profiled (predicted; every sixth is measured), planned six times (cost, latency, balanced, three uniform
slices, and parts of two and four on a cluster of machines), and every distinct plan is built and compared with the
reference model, at several sizes where sizes are free. The plan with parts, or else with most functions, is served to 8
concurrent clients, which send mixed sizes and compare every output. Each architecture runs in a separate process, and
its result is cached under .cache for the version of the code, so that an interrupted run continues.

Exit status 1 where anything failed but torch's export itself.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.architectures import SUITE, materialise, onnx_path
from benchmarks.architectures.trial import CLIENTS, Trial, try_architecture
from benchmarks.common import code_digest, met, parser, say_where, table, write_raw
from mopar.files import read_json, to_json, write_whole
from mopar.types import UsageError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".cache" / "every-architecture"
GOAL = 60
_MEASURED_OF = 6


def is_measured(name: str) -> bool:
    """Whether the profile is measured: every sixth."""
    return list(SUITE).index(name) % _MEASURED_OF == 0


def result_path(name: str, digest: str) -> Path:
    return RESULTS / digest / f"{onnx_path(SUITE[name]).parent.name}.json"


def tried(name: str, path: Path, limit_s: float) -> Trial:
    """The result of an architecture, by two separate processes: one exports it, another does the rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    nothing = Trial(name, is_measured(name))
    try:
        model = materialise(SUITE[name], limit_s=limit_s)
    except RuntimeError as error:
        found = replace(nothing, failed=f"export: {error}", seconds={"export": time.monotonic() - started})
        write_whole(path, to_json(found))
        return found
    seconds = {"export": time.monotonic() - started}
    why = _tried_alone(name, model, path, limit_s)
    if why is not None:
        return replace(nothing, exported=True, failed=f"trial: {why}", seconds={"trial": time.monotonic() - started})
    found = read_json(path, Trial, error=UsageError)
    found = replace(found, seconds={**seconds, **found.seconds})
    write_whole(path, to_json(found))
    return found


def _tried_alone(name: str, model: Path, path: Path, limit_s: float) -> str | None:
    """Run an exported architecture in a separate process; return why it left no result, if so."""
    log = path.with_suffix(".log")
    with log.open("wb") as output, tempfile.TemporaryDirectory(prefix="mopar-architecture-") as folder:
        command = [sys.executable, "-m", "benchmarks.every_architecture", "--one", name, str(model), str(path), folder]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        try:
            status = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"not done within {limit_s:g} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return None if status == 0 else f"the process ended with status {status}, see {log}"


def try_one(name: str, model: Path, path: Path, folder: Path) -> None:
    """Main function of an architecture's process."""
    write_whole(path, to_json(try_architecture(SUITE[name], model, folder, measured=is_measured(name))))


def row_of(trial: Trial) -> tuple[str, ...]:
    shapes = " ".join(f"={one.same_as[0]}" if one.same_as else one.shape or "none" for one in trial.plans)
    worst = max((one.worst for one in trial.plans if one.worst is not None), default=None)
    served = trial.served
    return (
        trial.name + ("*" if trial.measured else ""),
        shapes,
        "" if worst is None else f"{worst:.0e}",
        "" if served is None else f"{served.requests - served.unequal - len(served.errors)}/{served.requests}",
        f"{sum(trial.seconds.values()):.0f}",
        "; ".join(trial.failures)[:160],
    )


def summary(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """How many architectures passed each stage."""
    exported = [trial for trial in trials if trial.exported]
    plans = [plan for trial in exported for plan in trial.plans if plan.same_as is None]
    built = sum(not (plan.failed or "").startswith(("plan:", "build:")) for plan in plans)
    equal = sum(plan.failed is None for plan in plans)
    through = [trial for trial in exported if trial.served is not None]
    served = sum(trial.served is not None and trial.served.failed is None for trial in through)
    good = sum(not trial.failures for trial in exported)
    return [
        ("exported", f"{len(exported)} of {len(trials)}", met(len(exported) >= min(GOAL, len(trials)))),
        ("profiled", f"{sum(trial.failed is None for trial in exported)} of {len(exported)}", ""),
        ("distinct plans built", f"{built} of {len(plans)}", met(built == len(plans))),
        ("distinct plans equal", f"{equal} of {len(plans)}", met(equal == len(plans))),
        (f"served to {CLIENTS} clients", f"{served} of {len(exported)}", met(served == len(exported))),
        ("all well", f"{good} of {len(exported)}", met(good == len(exported))),
        ("seconds in all", f"{sum(sum(trial.seconds.values()) for trial in trials):.0f}", ""),
    ]


def options_of() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--only", metavar="NAME,..", help="these alone")
    arguments.add_argument("--again", action="store_true", help="try also those whose results are kept")
    arguments.add_argument("--limit-s", type=float, default=240.0, help="for an export, and for what follows")
    arguments.add_argument("--one", nargs=4, metavar=("NAME", "MODEL", "RESULT", "FOLDER"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    options.names = options.only.split(",") if options.only else list(SUITE)
    unknown = [name for name in options.names if name not in SUITE]
    if unknown:
        arguments.error(f"no architecture is called {', '.join(unknown)}; there are {', '.join(SUITE)}")
    return options


def main() -> None:
    options = options_of()
    if options.one:
        try_one(options.one[0], *map(Path, options.one[1:]))
        return
    say_where(0, "torch", "torchvision", "timm", "transformers")
    digest, trials = code_digest(Path(__file__).parent / "architectures" / "trial.py"), []
    for number, name in enumerate(options.names):
        path = result_path(name, digest)
        kept = path.exists() and not options.again
        trials.append(read_json(path, Trial, error=UsageError) if kept else tried(name, path, options.limit_s))
        state = "; ".join(trials[-1].failures) or "well"
        print(f"  {number + 1} of {len(options.names)} {name}: {state}", file=sys.stderr, flush=True)
    plans = "cost latency balanced uniform parts-2 parts-4"
    print(
        "* measured, others predicted; functions by slice, as 1+2+1; =c is the plan of the column that begins with c\n"
    )
    table(("architecture", plans, "worst", "served", "s", "failures"), [row_of(trial) for trial in trials])
    rows = summary(trials)
    table(("what", "found", ""), rows)
    for text, count in Counter(text for trial in trials for text in trial.failures).most_common():
        print(f"{count} times: {text}")
    write_raw(options.json, "every_architecture", {"seed": 0, "trials": trials})
    if any(trial.failures for trial in trials if trial.exported):
        sys.exit(1)


if __name__ == "__main__":
    main()

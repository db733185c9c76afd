"""Sentence search with a split MiniLM, from weights to answers over HTTP: what `make demo` runs.

    python -m examples.minilm_search [--requests 30] [--max-functions 4]

MiniLM with its real weights is exported to ONNX, profiled, planned, built, verified and served on this machine, both as
one function and split. The same sentences are sent to the two alternately. Results are cached in `.cache/demo` of the
project, so that a second run is quicker; remove that folder to start afresh.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from examples.minilm import export, tokenize
from mopar.bundle import Bundle, build, compare_all, open_bundle
from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.machine import machine_facts
from mopar.pipeline.bench.prices import cost_as_run, measured_functions
from mopar.pipeline.bench.rows import gb_s
from mopar.pipeline.bench.served import Server
from mopar.pipeline.profile import measure_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.pipeline.verify import verify
from mopar.planning import layers_text
from mopar.platforms.books import load_book
from mopar.types import MoparError, Plan, Profile
from mopar.types.reports import Verification

FOLDER = Path(__file__).parents[1] / ".cache" / "demo"
OUTPUT = "sentence_embedding"
SENTENCES = (
    "A man is playing a guitar on the stage.",
    "Somebody performs on stage with a guitar.",
    "The central bank raised interest rates by a quarter of a percentage point on Thursday, the third time this year.",
    "Borrowing became more expensive again after the bank's decision this week.",
    "How do I reset my password?",
    "I forgot my login and cannot get into my account any more; what should I do?",
    "It is raining cats and dogs.",
    "There is heavy rain outside.",
    "The recipe needs two eggs, a cup of flour, some butter and a pinch of salt, and takes half an hour in the oven.",
    "Mix flour, butter and eggs, add salt, and bake for thirty minutes.",
    "Our train leaves at noon.",
    "Nobody has ever proved that this number is prime.",
)

Request = Mapping[str, Array]


class Log:
    """Prints lines with the elapsed time; progress of long steps at most every two seconds."""

    def __init__(self) -> None:
        self._started = self._said = time.monotonic()

    def step(self, text: str) -> None:
        """Print which step starts."""
        self._said = time.monotonic()
        print(f"[{self._said - self._started:5.1f} s] {text}", flush=True)

    def progress(self, stage: str, _share: float | None = None) -> None:
        """Print the progress of a step."""
        if time.monotonic() - self._said > 2.0:
            self.step(f"    {stage}")


@dataclass
class Candidate:
    """A plan of the comparison and its measured figures. Durations in ms."""

    name: str
    plan: Plan
    bundle: Bundle
    verified: Verification
    latency_ms: list[float] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)
    samples_ms: dict[str, list[float]] = field(default_factory=dict)
    vectors: list[Array] = field(default_factory=list)
    error: float = 0.0

    @property
    def limits_mib(self) -> list[int]:
        """Memory limit of each function."""
        return [function.memory_mib for function in self.plan.functions]

    @property
    def held_ms(self) -> list[float]:
        """Median held time of each function, which is billed."""
        return [statistics.median(self.samples_ms[function.name]) for function in self.plan.functions]


def main() -> None:
    """Run all stages; print an error as one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=30, help="counted requests to each of the two (default: 30)")
    parser.add_argument("--max-functions", type=int, default=4, help="of the split plan (default: 4)")
    options = parser.parse_args()
    os.environ["XDG_CACHE_HOME"] = str(FOLDER)  # the profile cache too
    try:
        run(max(options.requests, 1), options.max_functions)
    except MoparError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted: nothing is left running", file=sys.stderr)
        sys.exit(130)


def run(requests: int, max_functions: int) -> None:
    """Run the stages one after the other."""
    log = Log()
    machine = machine_facts()
    log.step(f"MiniLM on {machine.cpu_model}, {machine.cores} cores, ONNX Runtime {machine.onnxruntime}")
    path, batch, singles = prepare(log)
    log.step("profile: every layer's time and memory, inside the whole run")
    model, profile = measure_model(path, inputs=FOLDER / "sentences.npz", progress=log.progress)
    log.step("plan: where to cut, and how large each function must be")
    unsplit = make_plan(profile, PlanOptions(cuts=(), slo_ms=None))
    split = choose(profile, max_functions)
    reference = ReferenceModel(path)
    plans = {"unsplit": unsplit, "split": split}
    candidates = [make(name, plan, model, reference, [batch, *singles], log) for name, plan in plans.items()]
    log.step(f"serve both, requests alternating: {requests} requests of {len(SENTENCES)} sentences, then one by one")
    ask(candidates, reference, batch, singles, requests)
    log.step("done")
    report(candidates, profile)


def prepare(log: Log) -> tuple[Path, Request, list[Request]]:
    """Return the ONNX file, all sentences as one request, and each sentence as a request."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "minilm.onnx"
    if path.exists():
        log.step(f"import: {path} is there already")
    else:
        log.step("import: PyTorch to ONNX, checked to answer alike")
        export(path)
    batch = tokenize(SENTENCES)
    np.savez(FOLDER / "sentences.npz", allow_pickle=False, **batch)
    rows, columns = batch["input_ids"].shape
    log.step(f"tokens: {rows} sentences of up to {columns} tokens; a request is all of them")
    return path, batch, [tokenize([sentence]) for sentence in SENTENCES]


def choose(profile: Profile, max_functions: int) -> Plan:
    """Return the planner's choice, and where it advises against splitting, a split plan for comparison."""
    tries = {
        f"--max-functions {max_functions}": PlanOptions(max_functions=max_functions),
        f"--max-functions {max_functions} --slo-ms none": PlanOptions(max_functions=max_functions, slo_ms=None),
        "--uniform 2": PlanOptions(uniform=2, slo_ms=None),
    }
    for words, options in tries.items():
        plan = make_plan(profile, options)
        print(f"    mopar plan {words}: {plan.verdict}: {plan.reason}", flush=True)
        if plan.verdict == "split":
            break
    return plan


def make(
    name: str, plan: Plan, model: Model, reference: ReferenceModel, requests: Sequence[Request], log: Log
) -> Candidate:
    """Build a plan and verify it against the model."""
    log.step(f"build and verify the {name} plan: answers, memory and time under its limits")
    folder = FOLDER / name
    build(model, plan, folder, progress=log.progress)
    bundle = open_bundle(folder)
    found = verify(bundle, reference, requests, progress=log.progress)
    if not found.passed:
        raise MoparError(f"{name}: {found}")
    return Candidate(name, plan, bundle, found)


def ask(
    candidates: Sequence[Candidate], reference: ReferenceModel, batch: Request, singles: list[Request], count: int
) -> None:
    """Send requests over HTTP to all candidates alternately, and compare each output with the reference model's."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for candidate in candidates:
            servers[candidate.name] = server = Server(candidate.bundle)
            stack.callback(server.stop)
            server.client.infer(batch)
        for _ in range(count):
            for candidate in candidates:
                client = servers[candidate.name].client
                candidate.latency_ms.append(timed(candidate, servers[candidate.name], reference, batch))
                for function, parts in client.timings.items():
                    candidate.samples_ms.setdefault(function, []).append(parts["held"])
        for request in singles:
            for candidate in candidates:
                again = [timed(candidate, servers[candidate.name], reference, request) for _ in range(5)]
                candidate.alone_ms.append(statistics.median(again))


def timed(candidate: Candidate, server: Server, reference: ReferenceModel, request: Request) -> float:
    """Send one request; return its latency at the client in ms."""
    started = time.perf_counter()
    got = server.client.infer(request)
    elapsed_ms = (time.perf_counter() - started) * 1e3
    differences = compare_all(got, reference.infer(request))
    candidate.error = max(candidate.error, *(difference.max_rel_error for difference in differences))
    candidate.vectors = [*got[OUTPUT]] if len(got[OUTPUT]) == len(SENTENCES) else candidate.vectors
    return elapsed_ms


def report(candidates: Sequence[Candidate], profile: Profile) -> None:
    """Print the results."""
    split = candidates[-1]
    print("\nSentences that mean the same, by the split model (cosine):")
    for score, one, other in pairs(np.stack(split.vectors)):
        print(f"  {score:.2f}  {shortened(SENTENCES[one])}\n        {shortened(SENTENCES[other])}")
    for candidate in candidates:
        word = "equal to" if candidate.error <= candidate.verified.tolerance else "NOT EQUAL to"
        print(f"\n{candidate.name}: {word} the reference model's outputs", end="")
        print(f" (largest relative error {candidate.error:.1e}, tolerance {candidate.verified.tolerance:.0e})", end="")
    print(
        "\n\nFunctions, predicted | measured: memory is what a function needs, the limit has 5% on top, 4 MiB at least"
    )
    table(("plan", "function", "layers", "limit MiB", "needs MiB", "busy ms"), list(function_rows(candidates)))
    print(f"\nA request of {len(SENTENCES)} sentences, predicted | measured; prices: {split.plan.prices}")
    rows = [plan_row(candidate) for candidate in candidates]
    table(("plan", "functions", "limits MiB", "latency ms", "over HTTP ms", "GB-s", "USD per million"), rows)
    ratios(candidates)
    elsewhere(profile)


def pairs(vectors: Array) -> Iterator[tuple[float, int, int]]:
    """Return sentences with their nearest neighbours, most similar first, above a threshold of similarity."""
    scores = vectors @ vectors.T - 2 * np.eye(len(vectors))
    found = {(min(i, int(row.argmax())), max(i, int(row.argmax()))): float(row.max()) for i, row in enumerate(scores)}
    for (one, other), score in sorted(found.items(), key=lambda item: -item[1]):
        if score > 0.5:
            yield score, one, other


def function_rows(candidates: Sequence[Candidate]) -> Iterator[tuple[str, ...]]:
    """Return a row for each function of each plan."""
    for candidate in candidates:
        graphs = {graph.id: graph for graph in candidate.plan.graphs}
        for function, found in zip(candidate.plan.functions, candidate.verified.functions, strict=True):
            spans = ", ".join(layers_text(graphs[name]) for name in function.graphs)
            needs = both(found.predicted_mib, found.measured_mib, ".1f")
            held = both(found.predicted_ms, statistics.median(candidate.samples_ms[function.name]), ".2f")
            yield candidate.name, function.name, spans, str(function.memory_mib), needs, held


def plan_row(candidate: Candidate) -> tuple[str, ...]:
    """Return a plan's figures for one request."""
    predicted, limits, held = candidate.plan.predicted, candidate.limits_mib, candidate.held_ms
    return (
        candidate.name,
        str(len(limits)),
        "+".join(map(str, limits)),
        both(predicted.latency_ms, candidate.verified.latency_ms.measured, ".2f"),
        f"{statistics.median(candidate.latency_ms):.2f}",
        both(predicted.gb_s_per_request, gb_s(limits, held), ".6f"),
        both(predicted.cost_per_million_usd, cost(candidate), ".4f"),
    )


def cost(candidate: Candidate) -> float:
    """Return the measured cost in USD per million requests."""
    plan = candidate.plan
    return cost_as_run(load_book(plan.prices), measured_functions(plan, candidate.limits_mib, candidate.held_ms))


def ratios(candidates: Sequence[Candidate]) -> None:
    """Print how the split plan compares with the unsplit one."""
    unsplit, split = candidates
    less = gb_s(unsplit.limits_mib, unsplit.held_ms) / gb_s(split.limits_mib, split.held_ms)
    slower = statistics.median(split.latency_ms) / statistics.median(unsplit.latency_ms)
    alone = statistics.median(split.alone_ms), statistics.median(unsplit.alone_ms)
    print(f"\nSplit, a request takes {less:.2f}x less GB-s than unsplit, at {slower:.2f}x its latency;", end=" ")
    print(f"a sentence alone takes {alone[0]:.2f} ms instead of {alone[1]:.2f} ms (median of all, over HTTP).")


def elsewhere(profile: Profile) -> None:
    """Print the planner's advice for other platforms: the same profile under other prices and limits."""
    print("\nPredicted cost on other platforms, in USD per million requests:")
    rows = []
    for platform in ("local", "openfaas", "aws-lambda"):
        try:
            plan = make_plan(profile, PlanOptions(platform=platform))
        except MoparError as error:
            print(f"  {platform}: {error}")
            continue
        usd = [f"{predicted.cost_per_million_usd:.4f}" for predicted in (plan.unsplit, plan.predicted)]
        rows.append((platform, plan.prices, plan.verdict, str(len(plan.functions)), *usd))
    table(("platform", "prices", "verdict", "functions", "unsplit", "planned"), rows)


def both(predicted: float, measured: float | None, form: str) -> str:
    """Format predicted and measured values together."""
    return f"{predicted:{form}} | {'-' if measured is None else format(measured, form)}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under column headers."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())


def shortened(sentence: str) -> str:
    """Shorten a sentence to at most 90 characters."""
    return sentence if len(sentence) <= 90 else f"{sentence[:87]}..."


if __name__ == "__main__":
    main()

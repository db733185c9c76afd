"""What orders of parallel branches bring, and what looking at a part of them loses.

    python -m benchmarks.branch_orders [--count 30] [--seed 0] [--json FILE]

Models of random layers with one parallel section of 14 to 24 layers: chains of random lengths side by side, joined at
its end, and Inception-like blocks in a row. All boundaries of all orders are searched, which is exact, and then fewer:
a beam over a section's boundaries, boundaries told apart by load only, or the likeliest only. Columns: how much cheaper
the exact plan is than the best of the canonical order, how much dearer the plan of the smaller search is, and the time.
Functions have one CPU: choosing CPUs too takes an exact search minutes.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.planning import SearchPolicy
from mopar.planning.choice import choose, choose_unsplit
from mopar.planning.order.boundaries import branches_of
from mopar.planning.order.search import best_order
from mopar.planning.policy import BranchPolicy
from mopar.planning.space.problem import free_problem
from mopar.planning.space.question import Question, ask
from mopar.platforms.books import load_book, load_limits
from mopar.types import InfeasibleError, Profile
from tests.planning.branching import block, random_layers

PLATFORMS = ("local", "openfaas")
SLOS = (1.03, 1.2, None)
EFFORTS = {
    "beam of 64": BranchPolicy(exact_runs=0, in_section=64, table=None, searched=None, sized=None),
    "beam of 256": BranchPolicy(exact_runs=0, in_section=256, table=None, searched=None, sized=None),
    "by load": BranchPolicy(table=0.0, searched=None, sized=None),
    "likeliest 100": BranchPolicy(table=None, searched=100, sized=100),
    "as planned": BranchPolicy(),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search over orders found; None where no plan keeps the limits."""

    kind: str
    platform: str
    effort: str
    boundaries: int
    canonical_usd: float | None
    exact_usd: float | None
    found_usd: float | None
    seconds: float


def wide(rng: random.Random) -> Profile:
    """Chains side by side between a first layer and a last one."""
    lengths = [rng.randint(1, 6) for _ in range(rng.randint(3, 5))]
    while not 14 <= sum(lengths) <= 24:
        lengths = [rng.randint(1, 6) for _ in range(rng.randint(3, 5))]
    return random_layers(rng, block(0, lengths))


def blocks(rng: random.Random) -> Profile:
    """Three blocks of four branches in a row."""
    needs: list[tuple[int, ...]] = [()]
    for _ in range(3):
        entry = len(needs) - 1
        branches = block(0, [rng.randint(1, 3) for _ in range(4)])[1:]
        needs += [tuple(at + entry for at in need) for need in branches]
    return random_layers(rng, needs)


def outcomes(kind: str, profile: Profile, platform: str, slo: float | None) -> Iterator[Outcome]:
    """The exact search, and each of the smaller ones, on one model."""
    limits = replace(load_limits(platform), package_bytes=None)
    book = load_book(limits.prices)
    question = ask(profile, book, limits, cpu=1.0)
    positions = question.between(question.cut_positions)
    problem = free_problem(question, positions, in_parts=False)
    slo_ms = None if slo is None else slo * choose_unsplit(question, None).latency_ms

    def with_policy(policy: BranchPolicy) -> Question:
        return replace(question, policy=SearchPolicy(branches=policy))

    def usd(policy: BranchPolicy | None) -> float | None:
        try:
            if policy is None:
                return choose(problem, slo_ms).cost_usd
            return best_order(problem.asked(with_policy(policy)), slo_ms).solution.cost_usd
        except InfeasibleError:
            return None

    every = BranchPolicy(exact_runs=1000, table=None, searched=None, sized=None)
    canonical, exact = usd(None), usd(every)
    known = branches_of(with_policy(every), positions)
    for name, policy in {"exact": every, **EFFORTS}.items():
        begin = time.perf_counter()
        found = usd(policy)
        seconds = time.perf_counter() - begin
        yield Outcome(kind, platform, name, known.of if known else 0, canonical, exact, found, seconds)


def row_of(kind: str, effort: str, found: list[Outcome]) -> tuple[str, ...]:
    priced = [(one.canonical_usd, one.exact_usd, one.found_usd) for one in found]
    gains = [1 - exact / canonical for canonical, exact, _ in priced if canonical and exact]
    losses = [got / exact - 1 for _, exact, got in priced if got and exact]
    return (
        kind,
        effort,
        str(len(found)),
        f"{spread([one.boundaries for one in found]).p50:.0f}",
        f"{spread(gains).p50:.2%}",
        f"{max(gains):.2%}",
        f"{spread(losses).p50:.2%}",
        f"{max(losses):.2%}",
        f"{spread([one.seconds for one in found]).p50:.2f}",
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=30)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    say_where(options.seed)
    rng = random.Random(options.seed)
    found: list[Outcome] = []
    for number in range(options.count):
        for kind, make in (("wide", wide), ("blocks", blocks)):
            found += outcomes(kind, make(rng), PLATFORMS[number % len(PLATFORMS)], SLOS[number % len(SLOS)])
    columns = ("models", "search", "instances", "boundaries", "gain p50", "most", "loss p50", "most", "s")
    names = ["exact", *EFFORTS]
    rows = [
        row_of(kind, name, [one for one in found if (one.kind, one.effort) == (kind, name)])
        for kind in ("wide", "blocks")
        for name in names
    ]
    table(columns, rows)
    write_raw(options.json, "branch_orders", {"seed": options.seed, "outcomes": found})


if __name__ == "__main__":
    main()

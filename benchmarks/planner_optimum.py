"""The planner against an exact solver over the same arithmetic, on random instances.

    python -m benchmarks.planner_optimum [--count 1000] [--seed 0] [--json FILE]

Chains, and graphs with skip connections, of 2 to 14 layers with random times, weights, shared weights and tensors;
price books that couple CPU to memory and that sell CPUs separately, limits on functions, payload and package, and
binding limits on latency. The solver is HiGHS (scipy.optimize.milp): a variable for each slice at each size, a path
from the first layer to the last, limits as rows. Goal: the planner's cost is the optimum in every instance.

As many chains again are compared with SLAMBUC, a partitioner of serverless chains, in terms common to both: billed
time, memory of a function, latency, data between functions (``tests/planning/slambuc_oracle.py``).
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.planning import plan
from mopar.planning.space.problem import Problem, free_problem
from mopar.planning.space.question import make_question
from mopar.platforms.books import load_book, load_limits
from mopar.types import InfeasibleError, LayerProfile, PlatformLimits, PriceBook, Profile, TensorProfile, WeightProfile
from tests.planning.slambuc_oracle import USD_PER_MS, random_chain
from tests.profiles import FREE, MIB, make_profile, tensor

BOOKS = ("paper", "openfaas", "cloud-run", "aws-lambda-x86", "azure-functions", "alibaba-fc")
SLAMBUC = "slambuc"
SAME = 1e-6
MOST_LAYERS = 14


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance: what to cut, where it runs, and the limit on latency."""

    kind: str
    profile: Profile
    book: PriceBook
    limits: PlatformLimits
    slo_ms: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of planner and solver; None where no plan was found."""

    kind: str
    book: str
    layers: int
    planned_usd: float | None
    optimal_usd: float | None
    planner_ms: float
    solver_ms: float
    counted_to_ms: float | None

    @property
    def same(self) -> bool:
        """Whether the two agree."""
        if self.planned_usd is None or self.optimal_usd is None:
            return self.planned_usd == self.optimal_usd
        return abs(self.planned_usd - self.optimal_usd) <= SAME * self.optimal_usd


def instances(count: int, seed: int) -> Iterator[Instance]:
    """Random instances, alternately chains and graphs; every third without a limit on latency."""
    rng = random.Random(seed)
    for number in range(count):
        kind = "chain" if number % 2 else "skips"
        profile = random_profile(rng, skips=number % 2 == 0)
        book = load_book(BOOKS[number % len(BOOKS)])
        # Coarse memory steps keep the solver's instances small; they make no difference to the planner.
        if book.mib_per_vcpu is not None:
            book = replace(book, memory_step_mib=128, memory_max_mib=3072)
        own = rng.random() < 0.5
        limits = replace(
            load_limits("aws-lambda") if book.mib_per_vcpu and own else FREE,
            max_functions=rng.choice([None, 2, 4, 6]),
            payload_bytes=rng.choice([None, None, 6 * MIB]),
            package_bytes=rng.choice([None, None, 250 * MIB]),
        )
        share = rng.choice([None, 1.03, 1.2, 1.5])
        slo_ms = None if share is None else share * profile.whole.latency_ms + rng.choice([0.0, 5.0, 20.0])
        yield Instance(kind, profile, book, limits, slo_ms)


def random_profile(rng: random.Random, *, skips: bool) -> Profile:
    """A model whose layers read the one before, and with ``skips`` some earlier ones too."""
    count = rng.randint(2, MOST_LAYERS)
    readers: list[set[int]] = [{index + 1} for index in range(-1, count)]
    if skips:
        for _ in range(rng.randint(1, count)):
            early = rng.randint(-1, count - 1)
            readers[early + 1].add(rng.randint(early + 1, count))
    sizes = [4 * rng.randint(1, MIB) for _ in readers]
    tensors: list[TensorProfile] = [
        tensor("x" if index < 0 else f"t{index}", size, index, tuple(sorted(reads)))
        for index, (size, reads) in enumerate(zip(sizes, readers, strict=True), start=-1)
    ]
    weights, layers = [], []
    for index in range(count):
        size = rng.choice([0, 1, 8, 40]) * rng.randint(1, 4) * MIB
        weights.append(WeightProfile(f"w{index}", size, size, size))
        names = {f"w{index}"} | ({f"w{rng.randint(0, index)}"} if rng.random() < 0.2 else set())
        live = sum(t.bytes for t in tensors if t.producer <= index <= max(t.consumers))
        layers.append(
            LayerProfile(
                index=index,
                nodes=(f"n{index}",),
                operators=("Conv",),
                weights=tuple(sorted(names)),
                latency_ms=rng.uniform(0.1, 20.0),
                spread_ms=0.0,
                weight_bytes=sum(w.bytes for w in weights if w.name in names),
                activation_bytes=live,
                two_threads=0.5 + 0.6 * rng.random(),
            )
        )
    return make_profile(tuple(layers), tuple(tensors), tuple(weights), tuple(range(1, count)))


def optimum(problem: Problem, slo_ms: float | None) -> float | None:
    """The least cost of a chain within the limits, by HiGHS; None where there is none."""
    edges, cost, latency = [], [], []
    for start, stop in zip(
        *(places.tolist() for places in np.nonzero(np.isfinite(problem.chains.latency_ms[0]))), strict=True
    ):
        sizes = problem.sizes((0, start, stop))
        edges += [(start, stop)] * len(sizes.cost_usd)
        cost += sizes.cost_usd.tolist()
        latency += sizes.latency_ms.tolist()
    if not edges:
        return None
    count = len(edges)
    columns = np.arange(count)
    leaves, enters = (np.array(side) for side in zip(*edges, strict=True))
    signs = np.concatenate([np.ones(count), -np.ones(count)])
    places = (np.concatenate([leaves, enters]), np.concatenate([columns, columns]))
    flow = csr_array((signs, places), shape=(problem.end + 1, count))
    balance = np.zeros(problem.end + 1)
    balance[0], balance[-1] = 1, -1
    rows = [LinearConstraint(flow, balance, balance)]
    if slo_ms is not None:
        rows.append(LinearConstraint(np.array([latency]), -np.inf, slo_ms))
    if problem.chains.most_functions is not None:
        rows.append(LinearConstraint(np.ones((1, count)), -np.inf, problem.chains.most_functions))
    scale = 1 / max(*cost, 1e-30)
    found = milp(
        np.array(cost) * scale, constraints=rows, bounds=Bounds(0, 1), integrality=np.ones(count),
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    return float(found.fun / scale) if found.success else None


def compared(one: Instance) -> Outcome:
    """Solve an instance with both."""
    begin = time.perf_counter()
    counted_to_ms = None
    try:
        made = plan(one.profile, one.book, one.limits, slo_ms=one.slo_ms, exact=True)
        planned_usd: float | None = made.predicted.cost_per_million_usd / 1e6
        counted_to_ms = 0.1 if "latencies counted" in made.reason else 0.0
    except InfeasibleError:
        planned_usd = None
    middle = time.perf_counter()
    positions = [0, *(cut.index for cut in one.profile.cut_positions), len(one.profile.layers)]
    problem = free_problem(make_question(one.profile, one.book, one.limits), positions)
    optimal_usd = optimum(problem, one.slo_ms)
    return Outcome(
        kind=one.kind,
        book=one.book.name,
        layers=len(one.profile.layers),
        planned_usd=planned_usd,
        optimal_usd=optimal_usd,
        planner_ms=(middle - begin) * 1e3,
        solver_ms=(time.perf_counter() - middle) * 1e3,
        counted_to_ms=counted_to_ms,
    )


def compared_with_slambuc(rng: random.Random) -> Outcome:
    """Answers of the planner and of SLAMBUC to a question that both can express."""
    chain = random_chain(rng)
    profile, book, limits, slo_ms = chain.question()
    begin = time.perf_counter()
    try:
        planned_usd: float | None = plan(profile, book, limits, slo_ms=slo_ms).predicted.cost_per_million_usd / 1e6
    except InfeasibleError:
        planned_usd = None
    middle = time.perf_counter()
    optimum_ms = chain.optimum_ms()
    return Outcome(
        kind="chain",
        book=SLAMBUC,
        layers=len(profile.layers),
        planned_usd=planned_usd,
        optimal_usd=None if optimum_ms is None else optimum_ms * USD_PER_MS,
        planner_ms=(middle - begin) * 1e3,
        solver_ms=(time.perf_counter() - middle) * 1e3,
        counted_to_ms=0.0,
    )


def row_of(name: str, found: list[Outcome]) -> tuple[str, ...]:
    both = [one for one in found if one.planned_usd is not None and one.optimal_usd]
    gaps = [(one.planned_usd or 0.0) / (one.optimal_usd or 1.0) - 1 for one in both]
    wrong = sum(not one.same for one in found)
    return (
        name,
        str(len(found)),
        str(len(found) - len(both)),
        f"{max(gaps, default=0.0):.1e}",
        str(wrong),
        str(sum(bool(one.counted_to_ms) for one in found)),
        f"{spread([one.planner_ms for one in found]).p50:.1f}",
        f"{spread([one.solver_ms for one in found]).p50:.1f}",
        met(wrong == 0),
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    say_where(options.seed, "scipy", "slambuc")
    found = [compared(one) for one in instances(options.count, options.seed)]
    rng = random.Random(options.seed)
    found += [compared_with_slambuc(rng) for _ in range(options.count)]
    columns = ("book", "instances", "infeasible", "largest gap", "differ", "on the grid", "planner ms", "solver ms", "")
    names = [*BOOKS, SLAMBUC, "all"]
    table(columns, [row_of(name, [one for one in found if name in {one.book, "all"}]) for name in names])
    write_raw(options.json, "planner_optimum", {"seed": options.seed, "outcomes": found})


if __name__ == "__main__":
    main()

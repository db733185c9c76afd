"""Split or not: verdict, plan and reason for each zoo model under each price book, from measured profiles.

    python -m benchmarks.verdicts [--models NAME,..] [--json FILE]

Each price book has the limits of its platform. On a coupled book the plan is compared with the unsplit model at its
smallest size and at the size that buys a whole CPU: as predicted, it must be at least as good as both.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, table, write_raw
from mopar.pipeline.profile import measure_model
from mopar.planning import Size, Slice, chain_shape, evaluate, plan, plan_text, plan_unsplit
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.function_memory import slice_memory_mib
from mopar.planning.model.prices import bought_mib, with_headroom
from mopar.platforms.books import book_names, load_book, load_limits
from mopar.types import InfeasibleError, PlatformLimits, PriceBook, Profile
from mopar.zoo import zoo_models
from tests.models import materialise, sample_inputs

PLATFORMS = {"paper": "local", "openfaas": "openfaas", "aws-lambda-x86": "aws-lambda", "aws-lambda-arm": "aws-lambda"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The planner's verdict on a model under a price book."""

    model: str
    book: str
    verdict: str
    reason: str
    text: str
    usd_per_million: float | None
    unsplit_usd: float | None
    baselines_usd: dict[str, float]

    @property
    def beats_baselines(self) -> bool:
        """Whether no baseline is cheaper."""
        usd = self.usd_per_million
        return usd is None or all(usd <= baseline * (1 + 1e-6) for baseline in self.baselines_usd.values())


def limits_for(book: PriceBook) -> PlatformLimits:
    """Limits of the book's platform; where mopar has none, a container platform's: HTTP hops, and no other limit."""
    name = PLATFORMS.get(book.name)
    if name is not None:
        return load_limits(name)
    return replace(load_limits("openfaas"), name=book.name, max_functions=None)


def baselines(profile: Profile, book: PriceBook, limits: PlatformLimits) -> dict[str, float]:
    """Where memory buys CPU and the unsplit model is allowed: its price at its smallest size, and with a whole CPU."""
    if book.mib_per_vcpu is None:
        return {}
    try:
        plan_unsplit(profile, book, limits, slo_ms=None)
    except InfeasibleError:
        return {}
    count = len(profile.layers)
    floor = floor_mib(profile, book, limits)
    found = {}
    for label, memory in (("floor", floor), ("1 CPU", max(floor, book.mib_per_vcpu))):
        size = Size(round(memory), memory / book.mib_per_vcpu, 1)
        shape = chain_shape(profile, [Slice(0, count, size)])
        found[label] = evaluate(profile, book, limits, shape).cost_per_million_usd
    return found


def floor_mib(profile: Profile, book: PriceBook, limits: PlatformLimits) -> float:
    """The smallest size on sale that the unsplit model fits, with the graphs that the platform's functions load."""
    loaded = CostModel.of(profile, book, limits).profile
    return float(bought_mib(book, with_headroom(slice_memory_mib(loaded, 0, len(loaded.layers)))))


def verdict(profile: Profile, book: PriceBook) -> Verdict:
    """The cheapest plan at any latency."""
    limits, name = limits_for(book), profile.model.name
    compared = baselines(profile, book, limits)
    try:
        made = plan(profile, book, limits, slo_ms=None)
    except InfeasibleError as error:
        return Verdict(name, book.name, "infeasible", str(error), "", None, None, compared)
    return Verdict(
        model=name,
        book=book.name,
        verdict=made.verdict,
        reason=made.reason,
        text=plan_text(made),
        usd_per_million=made.predicted.cost_per_million_usd,
        unsplit_usd=made.unsplit.cost_per_million_usd,
        baselines_usd=compared,
    )


def profile_of(name: str) -> Profile:
    """A measured profile, from the cache if there is one."""
    path = materialise(name)
    archive = path.with_name("benchmark-inputs.npz")
    np.savez(archive, allow_pickle=False, **sample_inputs(name))
    return measure_model(Path(path), inputs=archive)[1]


def row_of(one: Verdict) -> tuple[str, ...]:
    usd = "" if one.usd_per_million is None else f"{one.usd_per_million:.3f}"
    share = ""
    if one.usd_per_million is not None and one.unsplit_usd:
        share = f"{one.usd_per_million / one.unsplit_usd:.2f}x"
    return one.model, one.book, one.verdict, usd, share, one.text.partition(": ")[2], one.reason


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(model.name for model in zoo_models() if model.in_mean))
    options = arguments.parse_args()
    say_where(None)
    found = []
    for name in options.models.split(","):
        print(f"  {name}", file=sys.stderr, flush=True)
        profile = profile_of(name.strip())
        found += [verdict(profile, load_book(book)) for book in book_names()]
    table(
        ("model", "book", "verdict", "USD per million", "of unsplit", "plan", "reason"), [row_of(one) for one in found]
    )
    coupled = [one for one in found if one.baselines_usd]
    good = sum(one.beats_baselines for one in coupled)
    print(f"\ncoupled books: no dearer than unsplit at its floor and with a whole CPU in {good} of {len(coupled)}: "
          f"{met(good == len(coupled))}")  # fmt: skip
    write_raw(options.json, "verdicts", {"verdicts": found})


if __name__ == "__main__":
    main()

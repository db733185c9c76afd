"""The question to the planner: a model, its platform and prices, and the limits of its plan.

One object carries the profile, the price book, the limits and what follows from them, so that other modules need not
know the profile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

from mopar.planning.model.codings import NO_CODINGS, Codings
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.prices import Headroom, bought_mib, with_headroom
from mopar.planning.model.quota import TWO_CPUS
from mopar.planning.numbers import Floats
from mopar.planning.policy import DEFAULT, SearchPolicy
from mopar.types import CpuSize, PlatformLimits, PriceBook, Profile, UsageError

OBJECTIVES = ("cost", "latency", "balanced")


@dataclass(frozen=True, slots=True)
class Question:
    """The common input of all searches of one call of ``plan``.

    Attributes:
        model: cost and latency of calls, with the profile, the prices and the platform's limits.
        objective: one of ``OBJECTIVES``.
        cpu: CPUs of each function, in place of the book's choice; None for that, or where memory buys CPU.
        max_cpu: most CPUs of a function; None for as many as the book sells.
        headroom: added to required memory.
        max_functions: None for no limit.
        max_parts: most functions that compute a slice in parallel; None for as many as the profile has.
        budget_usd: the most that a request may cost where latency is minimised.
        policy: the extent of the search.
    """

    model: CostModel
    objective: str = "cost"
    cpu: float | None = None
    max_cpu: float | None = None
    headroom: Headroom = field(default_factory=Headroom)
    max_functions: int | None = None
    max_parts: int | None = None
    budget_usd: float | None = None
    policy: SearchPolicy = DEFAULT

    @property
    def cut_positions(self) -> list[int]:
        """Where the model can be cut, ascending."""
        return sorted(self.model.cut_ms)

    @property
    def unsplit(self) -> list[int]:
        """The positions of the unsplit model: one slice."""
        return [0, self.model.layers]

    def between(self, cuts: Sequence[int]) -> list[int]:
        """Positions of slices between given cuts."""
        return [0, *cuts, self.model.layers]

    @property
    def cpu_sizes(self) -> tuple[CpuSize, ...]:
        """CPUs to choose from where memory does not buy them."""
        book = self.model.book
        if self.cpu is not None:
            return (CpuSize(self.cpu),)
        return tuple(size for size in sold_sizes(book) if size.cpu <= (self.max_cpu or inf))

    def floor_mib(self, memory_mib: Floats) -> Floats:
        """The smallest sizes that hold ``memory_mib`` and its headroom, regardless of the book's maximum."""
        held = with_headroom(memory_mib, self.headroom.share, self.headroom.min_mib)
        return bought_mib(self.model.book, held)

    def useful_mib(self, mib_per_vcpu: float) -> float:
        """The size above which more memory makes a function no faster, nor lets it start sooner."""
        book = self.model.book
        steps = (book.memory_max_mib - book.memory_min_mib) // book.memory_step_mib * book.memory_step_mib
        most_cpus = TWO_CPUS if any(layer.two_threads is not None for layer in self.model.profile.layers) else 1.0
        most_cpus = min(most_cpus, self.max_cpu or inf)
        return min(float(bought_mib(book, mib_per_vcpu * most_cpus)), float(book.memory_min_mib + steps))


def make_question(
    profile: Profile,
    book: PriceBook,
    limits: PlatformLimits,
    *,
    objective: str = "cost",
    max_functions: int | None = None,
    max_parts: int | None = None,
    budget_usd: float | None = None,
    cpu: float | None = None,
    max_cpu: float | None = None,
    headroom: Headroom | None = None,
    policy: SearchPolicy = DEFAULT,
    codings: Codings = NO_CODINGS,
) -> Question:
    """Check the arguments and make a question; ``max_functions`` overrides the platform's, the budget is per million.

    Raises:
        UsageError: an argument makes no sense.
    """
    if objective not in OBJECTIVES:
        raise UsageError(f"objective {objective!r}: choose one of {', '.join(OBJECTIVES)}")
    if max_functions is not None and max_functions < 1:
        raise UsageError(f"max_functions {max_functions}: a plan has at least 1 function")
    if max_parts is not None and max_parts < 1:
        raise UsageError(f"max_parts {max_parts}: a slice is computed by at least 1 function")
    _check_budget(objective, budget_usd)
    _check_cpu(book, cpu)
    _check_max_cpu(book, max_cpu)
    return Question(
        model=CostModel.of(profile, book, limits, codings),
        objective=objective,
        cpu=cpu,
        max_cpu=max_cpu,
        headroom=_checked(headroom or Headroom()),
        max_functions=limits.max_functions if max_functions is None else max_functions,
        max_parts=max_parts,
        budget_usd=None if budget_usd is None else budget_usd / 1e6,
        policy=policy,
    )


def sold_sizes(book: PriceBook) -> tuple[CpuSize, ...]:
    """The numbers of CPUs that a book sells, where memory does not buy them."""
    return book.cpu_sizes or (CpuSize(book.cpu_per_function),)


def _checked(headroom: Headroom) -> Headroom:
    if headroom.share < 0 or headroom.min_mib < 0:
        raise UsageError("headroom must be at least 0")
    return headroom


def _check_budget(objective: str, budget_usd: float | None) -> None:
    if budget_usd is None:
        return
    if objective != "latency":
        raise UsageError(
            f"budget_usd with objective {objective!r}: it limits the cost of the fastest plan; use latency"
        )
    if not (budget_usd > 0 and isfinite(budget_usd)):
        raise UsageError(f"budget_usd {budget_usd:g}: must be over 0")


def _check_cpu(book: PriceBook, cpu: float | None) -> None:
    if cpu is None:
        return
    if book.mib_per_vcpu is not None:
        raise UsageError(f"cpu {cpu:g}: with prices {book.name} memory buys CPU; leave cpu out")
    if not (cpu > 0 and isfinite(cpu)):
        raise UsageError(f"cpu {cpu:g}: a function needs more than 0 CPUs")


def _check_max_cpu(book: PriceBook, max_cpu: float | None) -> None:
    if max_cpu is None:
        return
    if not (max_cpu > 0 and isfinite(max_cpu)):
        raise UsageError(f"max_cpu {max_cpu:g}: a function needs more than 0 CPUs")
    if book.mib_per_vcpu is None:
        least = min(size.cpu for size in sold_sizes(book))
        if least > max_cpu:
            raise UsageError(f"max_cpu {max_cpu:g}: with prices {book.name} a function has at least {least:g} CPUs")

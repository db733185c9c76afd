"""The tuned unsplit model with as many CPUs as plans use at the same time: two threads are what two parts must beat."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from mopar.pipeline.stages import PlanOptions, limits_of
from mopar.planning import NO_CODINGS, Codings, Size, Slice, chain_shape, evaluate
from mopar.planning.model.prices import bought_mib
from mopar.platforms.books import load_book
from mopar.types import Plan, Profile

TUNED = "ort-tuned-unsplit"
"""The tuned unsplit baseline; with ``-2cpu`` and so on, the same with more CPUs."""


def equal_cpu_plans(
    profile: Profile,
    options: PlanOptions,
    unsplit: Plan,
    plans: Iterable[Plan],
    notice: Callable[[str], None],
    codings: Codings = NO_CODINGS,
) -> Iterator[tuple[str, Plan]]:
    """The unsplit plan with as many CPUs as each of ``plans`` uses at the same time, by name.

    Each number once, and none that ``unsplit`` has itself. One that this machine does not have is left out, with a
    notice. ``codings`` are those of ``unsplit``.
    """
    cores = len(os.sched_getaffinity(0))
    for cpus in sorted({widest(plan) for plan in plans} - {1, widest(unsplit)}):
        name = f"{TUNED}-{cpus}cpu"
        if cpus > cores:
            notice(f"{name} is left out: this machine has {cores} cores")
        else:
            yield name, with_cpus(profile, options, unsplit, cpus, codings)


def widest(plan: Plan) -> int:
    """The most threads that compute at the same time: of one function, or of all parts of a slice."""
    threads = {function.name: function.threads for function in plan.functions}
    together: dict[tuple[int, int], set[str]] = defaultdict(set)
    owner = {graph: function.name for function in plan.functions for graph in function.graphs}
    for graph in plan.graphs:
        together[graph.start, graph.stop].add(owner[graph.id])
    return max(sum(threads[name] for name in names) for names in together.values())


def with_cpus(profile: Profile, options: PlanOptions, unsplit: Plan, cpus: int, codings: Codings = NO_CODINGS) -> Plan:
    """The unsplit plan with so many CPUs and a thread on each, whether or not the price book sells such a function.

    Profiles know times with one thread and with two: what is predicted for more is the time with two.
    """
    limits = limits_of(options)
    book = load_book(options.prices or limits.prices)
    (function,) = unsplit.functions
    memory_mib = max(function.memory_mib, round(bought_mib(book, cpus * (book.mib_per_vcpu or 0.0))))
    shape = chain_shape(profile, [Slice(0, len(profile.layers), Size(memory_mib, float(cpus), cpus))])
    return replace(unsplit, functions=shape.functions, predicted=evaluate(profile, book, limits, shape, codings))

"""Which calls the gateway starts together: those of functions that wait for each other's tensors, and chains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mopar.bundle.call_plans import CallChain, CallPlan
from mopar.gateway.chains import chains_of


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One call, a chain of calls, or all calls of functions that exchange tensors in both directions.

    Attributes:
        calls: in an order in which they can run.
        waits: of functions that exchange tensors, for each call the places in ``calls`` of those that it reads from, of
            other functions than its own: a function runs its own in order.
        singly: the same calls one by one, for requests in which a tensor's size is not known beforehand; None where
            there is only one, and for a chain.
        chains: of a chain, for each call but the last, the chain from there on.
    """

    calls: tuple[CallPlan, ...]
    waits: tuple[tuple[int, ...], ...] = ()
    singly: "Schedule | None" = None
    chains: tuple[CallChain, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Units, how many others each waits for, and which wait for it."""

    awaited: Mapping[Unit, int]
    dependents: Mapping[Unit, Sequence[Unit]]

    @classmethod
    def of(cls, plans: Sequence[CallPlan]) -> Self:
        """Calls of a manifest, grouped where their functions wait for each other.

        The units form no cycle, since a function that a group depends on, and that depends on the group, is in it. So a
        group can start as soon as everything that it reads from outside exists. Nor can a group block itself: its calls
        wait only for earlier ones, and each function runs its calls in order, so the first call that has not ended
        waits for none.
        """
        together = mutual_functions(plans)
        members: dict[frozenset[str] | str, list[CallPlan]] = {}
        for plan in plans:
            group = together.get(plan.call.function, frozenset())
            members.setdefault(group if len(group) > 1 else plan.call.id, []).append(plan)
        return cls._linked([_unit(calls) for calls in members.values()])

    @classmethod
    def one_by_one(cls, plans: Sequence[CallPlan]) -> Self:
        """The calls without groups."""
        return cls._linked([Unit((plan,)) for plan in plans])

    def chained(self, plans: Sequence[CallPlan]) -> Self:
        """The same with single calls joined to chains; ``plans`` are its calls in an order in which they can run."""
        single = {unit.calls[0].call.id: unit for unit in self.awaited if len(unit.calls) == 1}
        chains = chains_of(plans, single.keys())
        joined = {single[plan.call.id] for chain in chains for plan in chain}
        return self._linked([*(unit for unit in self.awaited if unit not in joined), *map(_chain, chains)])

    @classmethod
    def _linked(cls, units: Sequence[Unit]) -> Self:
        """Units with their dependencies; calls that are in none of the units have already run."""
        homes = {plan.call.id: unit for unit in units for plan in unit.calls}
        awaited: dict[Unit, int] = {}
        dependents: dict[Unit, list[Unit]] = {unit: [] for unit in units}
        for unit in units:
            producers = {homes[made] for plan in unit.calls for made in plan.producers if made in homes} - {unit}
            awaited[unit] = len(producers)
            for producer in producers:
                dependents[producer].append(unit)
        return cls(awaited, dependents)


def mutual_functions(plans: Sequence[CallPlan]) -> dict[str, frozenset[str]]:
    """For each function, those that depend on it and on which it depends, directly or not; itself included.

    Takes O(n^3) in the number of functions.
    """
    makers = {plan.call.id: plan.call.function for plan in plans}
    reads: dict[str, set[str]] = {name: set() for name in makers.values()}
    for plan in plans:
        reads[plan.call.function].update(makers[made] for made in plan.producers)
    for middle, further in reads.items():  # Warshall's closure
        for read in reads.values():
            if middle in read:
                read.update(further)
    return {name: frozenset({name} | {other for other in read if name in reads[other]}) for name, read in reads.items()}


def _unit(calls: Sequence[CallPlan]) -> Unit:
    if len(calls) == 1:
        return Unit((calls[0],))
    places = {plan.call.id: place for place, plan in enumerate(calls)}
    waits = tuple(
        tuple(
            sorted(
                places[made]
                for made in plan.producers
                if made in places and calls[places[made]].call.function != plan.call.function
            )
        )
        for plan in calls
    )
    return Unit(tuple(calls), waits, Schedule.one_by_one(calls))


def _chain(calls: tuple[CallPlan, ...]) -> Unit:
    return Unit(calls, chains=tuple(CallChain.of(calls[place:]) for place in range(len(calls) - 1)))

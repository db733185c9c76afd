"""Which calls can only run one after the other, so that each function may pass the next call on by itself."""

from collections.abc import Collection, Mapping, Sequence

from mopar.bundle.call_plans import CallPlan


def chains_of(plans: Sequence[CallPlan], single: Collection[str]) -> list[tuple[CallPlan, ...]]:
    """The longest chains of two calls or more, none in two of them.

    In a chain each call reads from the one before, and nothing that has not ended when the chain begins or runs in it;
    no other call could start before its last call ends. Tensors may skip calls of the chain. Functions come in the
    order of their first calls, in all chains, so that what they pass on never goes round in a circle.

    Takes O(n^2) in the number of calls.

    Args:
        plans: in an order in which they can run.
        single: ids of those that the gateway would start by themselves.
    """
    graph = _Graph(plans, single)
    found: list[tuple[CallPlan, ...]] = []
    taken: set[str] = set()
    for head in plans:
        if head.call.id in single and head.call.id not in taken:
            chain = graph.longest(head)
            taken.update(plan.call.id for plan in chain)
            if len(chain) > 1:
                found.append(chain)
    return found


class _Graph:
    """Calls, what each reads from at any distance, and which read from it."""

    def __init__(self, plans: Sequence[CallPlan], single: Collection[str]) -> None:
        self._single = single
        self._ranks: dict[str, int] = {}
        self._readers: dict[str, list[CallPlan]] = {plan.call.id: [] for plan in plans}
        before: dict[str, frozenset[str]] = {}
        for place, plan in enumerate(plans):
            self._ranks.setdefault(plan.call.function, place)
            before[plan.call.id] = plan.producers.union(*(before[made] for made in plan.producers))
            for made in plan.producers:
                self._readers[made].append(plan)
        self._before: Mapping[str, frozenset[str]] = before

    def longest(self, head: CallPlan) -> tuple[CallPlan, ...]:
        """The longest chain that begins with a call; by itself, it is one."""
        chain = [head]
        while (following := self._following(chain)) is not None:
            chain.append(following)
        while not self._is_closed(chain):
            chain.pop()
        return tuple(chain)

    def _following(self, chain: Sequence[CallPlan]) -> CallPlan | None:
        """The only call that can run when the last of a chain has ended; None where there is none or a choice."""
        last = chain[-1].call
        ended = self._before[chain[0].call.id] | {plan.call.id for plan in chain}
        ready = [plan for plan in self._readers[last.id] if plan.producers <= ended]
        if len(ready) != 1:
            return None
        call = ready[0].call
        forward = self._ranks[call.function] > self._ranks[last.function]
        return ready[0] if forward and call.id in self._single else None

    def _is_closed(self, chain: Sequence[CallPlan]) -> bool:
        """Whether no call outside reads from any but the last."""
        inside = {plan.call.id for plan in chain}
        return all(reader.call.id in inside for plan in chain[:-1] for reader in self._readers[plan.call.id])

"""Cost and latency of one model's calls on one platform: the data that they follow from, computed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic

from mopar.planning.model.calls import CallCosts, CallTime, call_costs, call_time, step_costs
from mopar.planning.model.codings import NO_CODINGS, RAW, Codings, applied
from mopar.planning.model.portable import loaded_portable
from mopar.planning.model.quota import start_ms
from mopar.planning.model.starts import Loading
from mopar.planning.model.times import beside_ms, elapsed_ms, has_two_threads
from mopar.planning.numbers import Num
from mopar.types import CutPosition, PlatformLimits, PriceBook, Profile, TensorCoding


@dataclass(frozen=True, slots=True)
class ThreadTimes(Generic[Num]):
    """A call's time with a CPU for each thread: inside with one thread and with two, and outside."""

    one_ms: Num
    two_ms: Num
    outside_ms: Num


@dataclass(frozen=True, slots=True)
class CostModel:
    """A profile with the prices and limits that its plans have.

    Attributes:
        profile: what was measured of the model, as of the graphs that the platform's functions load.
        book: prices, sizes and the billing unit.
        limits: the platform's limits, and the costs of its calls.
        call, step: costs of a call, and of a further step of functions that compute a slice in parallel.
        one_ms, two_ms: engine time of the first layers, with one thread and with two, by their number.
        parts_ms: the same where parts compute the layers in parallel; a part takes its share of it.
        cut_ms: what cutting at a position adds to the call that begins there; 0 where it is not named.
        two_threads: whether times with two threads are known.
        parts_wait: whether functions that compute a slice in parallel wait for each other inside one call each, and are
            held meanwhile; otherwise each step is a call of its own.
        codings: of the tensors that are sent encoded.
        loading: of weights, while functions start.
    """

    profile: Profile
    book: PriceBook
    limits: PlatformLimits
    call: CallCosts
    step: CallCosts
    one_ms: tuple[float, ...]
    two_ms: tuple[float, ...]
    parts_ms: tuple[float, ...]
    cut_ms: Mapping[int, float]
    two_threads: bool
    parts_wait: bool
    codings: Codings
    loading: Loading

    @classmethod
    def of(
        cls, profile: Profile, book: PriceBook, limits: PlatformLimits, codings: Codings = NO_CODINGS
    ) -> "CostModel":
        """Make a cost model for a profile and a platform. Linear in the profile's size."""
        if limits.portable_graphs:
            profile = loaded_portable(profile)
        return cls(
            profile=profile,
            book=book,
            limits=limits,
            call=call_costs(profile.runtime, limits),
            step=step_costs(profile.runtime, limits),
            one_ms=tuple(elapsed_ms(profile)),
            two_ms=tuple(elapsed_ms(profile, 2)),
            parts_ms=tuple(beside_ms(profile, shares_host=limits.shares_host)),
            cut_ms={cut.index: cut.overhead_ms for cut in profile.cut_positions},
            two_threads=has_two_threads(profile),
            parts_wait=limits.shares_memory and profile.runtime.exchange_ms is not None,
            codings=applied(profile, codings),
            loading=Loading.of(profile, limits),
        )

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.profile.layers)

    def coding(self, tensor: str) -> TensorCoding:
        """How a tensor is sent."""
        return self.codings.get(tensor, RAW)

    def sent_bytes(self, cut: CutPosition) -> float:
        """Bytes across a cut position, as they are sent."""
        if not self.codings:
            return cut.bytes
        crossing = (tensor for tensor in self.profile.tensors if tensor.name in set(cut.tensors))
        return sum(tensor.bytes * self.coding(tensor.name).ratio for tensor in crossing)

    def times(self, costs: CallCosts, one_ms: Num, two_ms: Num, crossing: CallTime[Num]) -> ThreadTimes[Num]:
        """A call's times from its computing time with one thread and with two, and from the tensors that cross."""
        one = call_time(costs, one_ms, self.one_ms[-1], crossing)
        two = call_time(costs, two_ms, self.two_ms[-1], crossing)
        return ThreadTimes(one.inside_ms, two.inside_ms, one.outside_ms)

    def init_ms(self, loading_ms: Num, cpu: Num) -> Num:
        """Start-up of a function of ``cpu`` CPUs, exec to ready, that loads weights for ``loading_ms`` with one."""
        empty_ms = self.limits.start_ms
        if empty_ms is None:
            empty_ms = self.profile.runtime.init_ms
        return start_ms(self.limits, empty_ms, loading_ms, cpu, self.book.quota_period_ms)

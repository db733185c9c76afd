"""Extent and resolution of a search: every constant that trades exactness for time."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class SolvePolicy:
    """How the best chain of slices is searched.

    Attributes:
        grid_ms: resolution of latencies where exact search takes too long: below what a request's measurement shows.
        most_grid_cells: the grid has at most so many cells, longer ones where the limit on latency requires it: its
            time and memory grow with their number.
        most_labels: with more than so many labels the search switches from exact latencies to the grid: their number
            would grow much further.
        most_counted: for a limit of up to this many functions, each number is searched separately; for more, which a
            plan rarely has, the search without the limit comes first.
        price_rounds: most iterations of the search for the price of latency; the bound holds after each.
        same_price: the search for the price ends when a round gains less than this share, the size of rounding errors.
        as_fast: latencies of up to this many times the least count as the least: less than a prediction's error, and
            what is the fastest by less may hold several times the memory.
        better: a plan must beat the best one by this share to replace it, which excludes equal chains.
        tie: of plans whose costs differ by less than this share, the faster is taken.
        fine_ms: where what runs a plan is paid for by units of time, units of up to this length are not settled: the
            plan is dearer than the best by one unit at most, and predictions err by more.
        most_rounds: of longer units, most searches that settle what rounding up decides; 100 ms take a few.
        worth: a balanced plan with parallel parts gives way to one without that gains this share more than it gives
            away: above rounding, and below what a table shows.
    """

    grid_ms: float = 0.1
    most_grid_cells: int = 8192
    most_labels: int = 100_000
    most_counted: int = 64
    price_rounds: int = 40
    same_price: float = 1e-12
    as_fast: float = 1.01
    better: float = 1e-11
    tie: float = 1e-7
    fine_ms: float = 1.0
    most_rounds: int = 12
    worth: float = 1e-4


@dataclass(frozen=True, slots=True)
class SearchPolicy:
    """The part of the space of plans that is searched.

    Attributes:
        all_positions_up_to: up to so many cut positions are all searched: with the five CPU sizes of a Kubernetes book
            and an SLO, in about a second. None for any number.
        most_positions: of more, at most so many are searched, so that 10,000 layers take ten seconds.
        look_back: the part of a group of layers, from its end, in which its best position is chosen: with half, every
            cut is within one group of a searched position.
        alike_bytes: positions count as alike with at most this many times the fewest bytes across them, and of those
            the one where layers differ most is taken: a quarter more bytes cost little.
        same_price: two sizes whose prices differ by less than this share, the size of rounding errors, cost the same.
        front_points: latencies between the fastest and the cheapest plan at which a front is searched: as many as fit a
            short table, each a search.
        front_functions: a front has the ends for each number of functions up to this: more than any shipped platform
            allows by default, each two searches.
        most_reason_sizes: most sizes of a slice tried for a cut's reason; a coupled book sells thousands.
        solve: how the best chain is searched.
    """

    all_positions_up_to: int | None = 600
    most_positions: int = 400
    look_back: float = 0.5
    alike_bytes: float = 1.25
    same_price: float = 1e-9
    front_points: int = 12
    front_functions: int = 16
    most_reason_sizes: int = 65
    solve: SolvePolicy = field(default_factory=SolvePolicy)

    def exact(self) -> "SearchPolicy":
        """The same policy with every cut position, however many there are, and all that rounding up decides settled."""
        return replace(self, all_positions_up_to=None, solve=replace(self.solve, fine_ms=0.0, most_rounds=1 << 30))


DEFAULT = SearchPolicy()

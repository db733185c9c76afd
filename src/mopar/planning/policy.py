"""How much a search looks at, and how closely: every constant that trades an answer's exactness for time."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class SolvePolicy:
    """How a chain of slices is sought.

    Attributes:
        grid_ms: latencies are told apart by so much where counting them exactly takes too long: what no request shows.
        most_grid_cells: a limit on latency that is longer than so many cells of the grid has longer cells: the grid's
            time and memory grow with their number, whatever a request takes.
        most_labels: with more than so many the search gives up counting latencies exactly, for the grid: where they
            are that many they soon are far more.
        most_counted: up to this many functions at most, each number is searched by itself; more are rarely worth
            having, so the limit is tried without first.
        price_rounds: of seeking the price of latency, at most: the bound holds after each.
        same_price: the price is found when a round gains less than this share: rounding alone.
        better: a plan must beat the best one by this share to replace it, which keeps equal chains out.
        tie: of plans whose costs differ by less than this share, the faster is taken.
        worth: a balanced plan with parallel parts gives way to one without that gains this share more than it gives
            away: above rounding, and below what a table shows.
    """

    grid_ms: float = 0.1
    most_grid_cells: int = 8192
    most_labels: int = 100_000
    most_counted: int = 64
    price_rounds: int = 40
    same_price: float = 1e-12
    better: float = 1e-11
    tie: float = 1e-7
    worth: float = 1e-4


@dataclass(frozen=True, slots=True)
class SearchPolicy:
    """What a plan's search looks at.

    Attributes:
        all_positions_up_to: so many cut positions are all looked at: with the five CPU sizes of a Kubernetes book and
            an SLO, in about a second. None for any number.
        most_positions: of more, the search looks at so many at most, so that 10,000 layers take ten seconds.
        look_back: part of a group of layers, from its end, in which the best position is sought: half keeps every cut
            within a group of one that is looked at.
        alike_bytes: positions are alike that at most this many times the fewest bytes cross, so that of those the one
            where layers differ most is taken: a quarter more bytes hardly cost.
        same_price: two sizes whose prices differ by less than this share cost the same: rounding alone.
        front_points: latencies between the fastest and the cheapest plan that a front is sought at: as many as a table
            shows at a glance, each a search.
        front_functions: a front has the ends for each number of functions up to this: more than any platform of ours
            takes by default, each two searches.
        most_reason_sizes: of a slice, so many are tried for a cut's reason; a coupled book sells thousands.
        solve: how a chain is sought.
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
        """Every cut position, however many there are."""
        return replace(self, all_positions_up_to=None)


DEFAULT = SearchPolicy()

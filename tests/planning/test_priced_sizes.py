"""Bounds over several sizes of every slice, compared with all chains of slices and sizes."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mopar.planning.numbers import Floats
from mopar.planning.solve.paths import bracket, cost_to_go
from mopar.planning.solve.priced import PricedSizes

LAST, SIZES = 3, 3


@st.composite
def catalogs(draw: st.DrawFn) -> PricedSizes:
    """Sizes of slices between four positions, one function each; some are not on sale."""

    def drawn() -> Floats:
        numbers = draw(st.lists(st.integers(1, 40), min_size=SIZES * 16, max_size=SIZES * 16))
        return np.array(numbers, dtype=np.float64).reshape(SIZES, 1, 4, 4)

    none = draw(st.lists(st.booleans(), min_size=SIZES * 16, max_size=SIZES * 16))
    had = np.triu(np.ones((4, 4), dtype=bool), k=1) & ~np.array(none).reshape(SIZES, 1, 4, 4)
    had[0, 0, 0, LAST] = True
    return PricedSizes(np.where(had, drawn(), np.inf), drawn())


def chains(sizes: PricedSizes) -> Iterator[tuple[int, float, float]]:
    """Every chain at every size: its slices, weight, and limited quantity."""
    for inner in product((False, True), repeat=LAST - 1):
        stops = [0, *(at for at, cut in enumerate(inner, 1) if cut), LAST]
        for picks in product(range(SIZES), repeat=len(stops) - 1):
            places = [(pick, 0, *edge) for pick, edge in zip(picks, pairwise(stops), strict=True)]
            weight, limited = (sum(float(column[at]) for at in places) for column in (sizes.weight, sizes.limited))
            if np.isfinite(weight):
                yield len(places), weight, limited


@given(catalogs(), st.floats(0.0, 1.0), st.none() | st.integers(1, LAST))
def test_the_bound_holds_for_every_chain_and_is_no_weaker_than_that_of_weights_alone(
    sizes: PricedSizes, share: float, functions: int | None
) -> None:
    some = [one for one in chains(sizes) if functions is None or one[0] == functions]
    if not some:
        return
    least, most = (pick(limited for _, _, limited in some) for pick in (min, max))
    limit = least + share * (most - least)
    fastest = np.where(np.isfinite(sizes.weight), sizes.limited, np.inf)
    weight, limited = (cost_to_go(column.min(axis=0), functions) for column in (sizes.weight, fastest))
    found = bracket(weight, limited, limit, sizes)
    best = min(weight for _, weight, limited in some if limited <= limit + 1e-9)
    assert found.least <= best + 1e-9
    assert found.least >= bracket(weight, limited, limit).least - 1e-9
    assert min(sizes.sums(found.path, price)[1] for price in (found.price, np.inf)) <= limit + 1e-9


@given(catalogs(), st.floats(0.0, 50.0))
def test_each_slice_is_weighed_at_its_best_size(sizes: PricedSizes, price: float) -> None:
    pairs = zip(sizes.weight[:, 0, 0, LAST], sizes.limited[:, 0, 0, LAST], strict=True)
    best = min(weight + price * limited for weight, limited in pairs if np.isfinite(weight))
    assert sizes.least(price)[0, 0, LAST] == best
    weight, limited = sizes.sums(((0, 0, LAST),), price)
    assert abs(weight + price * limited - best) <= 1e-9
    assert (
        sizes.sums(((0, 0, LAST),), np.inf)[1]
        == sizes.limited[np.isfinite(sizes.weight[:, 0, 0, LAST]), 0, 0, LAST].min()
    )

"""``--input`` arguments: a round trip, and mistakes are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.shapes import InputArg, parse_input, parse_shape
from mopar.types import DTYPES, UsageError
from mopar.types.ranges import Bounds, InputRange, StatedShape

symbols = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
Dim = tuple[str | None, int, Bounds | None]


@st.composite
def dims(draw: st.DrawFn) -> Dim:
    low, size, high = sorted(draw(st.lists(st.integers(0, 5000), min_size=3, max_size=3)))
    bounds = draw(st.sampled_from([None, (low, high)]))
    return draw(st.none() | symbols), size, bounds


names = st.text(min_size=1, max_size=12)


def written(dim: Dim) -> str:
    symbol, size, bounds = dim
    sizes = str(size) if bounds is None else f"{bounds[0]}..{size}..{bounds[1]}"
    return f"{symbol}@{sizes}" if symbol else sizes


@given(names, st.lists(dims(), max_size=5), st.none() | st.sampled_from([item.name for item in DTYPES]))
def test_what_is_written_is_read(name: str, shape: list[Dim], dtype: str | None) -> None:
    """Any name (ONNX allows ':', '=' and 'x'), including symbols with an 'x'."""
    text = f"{name}={'x'.join(map(written, shape)) or 'scalar'}"
    text += f":{dtype}" if dtype else ""
    stated = StatedShape(tuple(size for _, size, _ in shape), tuple(bounds for *_, bounds in shape))
    assert parse_input(text, symbolic=True) == InputArg(name, stated, dtype, tuple(symbol for symbol, *_ in shape))


def test_a_range_without_a_middle_is_measured_in_the_middle() -> None:
    stated = parse_shape("ids", "1x1..512")
    assert stated == StatedShape((1, 256), (None, (1, 512)))
    assert (stated.smallest, stated.largest) == ((0, 1), (1, 512))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4), st.data())
def test_a_widened_range_holds_the_shape_and_what_it_held(pairs: list[Bounds], data: st.DataObject) -> None:
    known = InputRange(
        "x", tuple(min(pair) for pair in pairs), tuple(max(1, *pair) for pair in pairs), data.draw(st.booleans())
    )
    shape = tuple(data.draw(st.integers(1, 20)) for _ in pairs)
    wide = parse_input(known.widened(shape)).stated
    made = InputRange("x", wide.smallest, wide.largest)
    assert made.holds(shape)
    assert made.holds(known.largest)
    assert 0 in known.smallest or made.holds(known.smallest)
    assert known.holds(shape) == all(a <= n <= b for a, n, b in zip(known.smallest, shape, known.largest, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "=1x3",
        "x=",
        "x=1x",
        "x=x1",
        "x=1xx3",
        "x=-1x3",
        "x=1,3",
        "x=1x3:",
        "x=1x3:float33",
        "x=1:float32:x",
        "x=b",
        "x=1x8..4",
        "x=1x4..8..6",
        "x=1x4..",
        "x=1x..4",
        "x=1..2..3..4",
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_what_is_malformed_is_quoted(text: str, symbolic: bool) -> None:
    with pytest.raises(UsageError) as raised:
        parse_input(text, symbolic=symbolic)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_symbol_is_refused_where_sizes_are_needed() -> None:
    with pytest.raises(UsageError, match="a size is needed"):
        parse_input("x=batch@2x3")

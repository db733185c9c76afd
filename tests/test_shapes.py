"""``--input`` arguments: what is written comes back, and what is wrong is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.shapes import InputArg, parse_input
from mopar.types import DTYPES, UsageError, format_shape

symbols = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
dims = st.tuples(st.none() | symbols, st.integers(0, 5000))
names = st.text(min_size=1, max_size=12)


@given(names, st.lists(dims, max_size=5), st.none() | st.sampled_from([item.name for item in DTYPES]))
def test_what_is_written_is_read(name: str, shape: list[tuple[str | None, int]], dtype: str | None) -> None:
    """Any name at all (ONNX allows ':', '=' and 'x'), symbols with an 'x' in them included."""
    text = f"{name}={format_shape(f'{symbol}@{size}' if symbol else size for symbol, size in shape)}"
    text += f":{dtype}" if dtype else ""
    want = InputArg(name, tuple(size for _, size in shape), dtype, tuple(symbol for symbol, _ in shape))
    assert parse_input(text, symbolic=True) == want


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

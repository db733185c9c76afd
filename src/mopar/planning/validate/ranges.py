"""Checks of ranges of input sizes, which may come from files."""

from collections.abc import Collection, Iterable

from mopar.types import InputRange, MoparError


def check_ranges(ranges: Iterable[InputRange], inputs: Collection[str] | None, error: type[MoparError]) -> None:
    """Check that ranges are consistent, and their names against the model's inputs where these are known.

    Raises:
        error: the first violation.
    """
    seen: set[str] = set()
    for item in ranges:
        if item.name in seen or (inputs is not None and item.name not in inputs):
            raise error(f"the range of {item.name!r} is there twice, or of no input")
        seen.add(item.name)
        pairs = zip(item.smallest, item.largest, strict=False)
        if len(item.smallest) != len(item.largest) or not all(0 <= low <= high for low, high in pairs):
            raise error(f"the range of input {item.name!r} from {item.smallest} to {item.largest} does not go up")

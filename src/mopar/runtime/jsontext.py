"""JSON by the C scanner and encoder below the module ``json``, which itself would take memory in every function.

The scanner takes the error for an invalid text from that module: some versions of Python import it for this; others
do not find it, and raise SystemError.
"""

from _json import encode_basestring_ascii, make_scanner

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Callable

_BLANKS = " \t\r\n"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


class _Rules:
    """What the scanner reads from its decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int

    def __init__(self, constant: "Callable[[str], object]") -> None:
        self.parse_constant = constant


def parse(data: "bytes | bytearray | memoryview", constant: "Callable[[str], object]" = _refuse_constant) -> object:
    """The value of a JSON text.

    Args:
        data: in UTF-8.
        constant: the value of a name that JSON does not have, such as ``NaN``; all are refused by default.

    Raises:
        ValueError: it is no JSON.
    """
    text = str(data, "utf-8").strip(_BLANKS)
    try:
        value, end = make_scanner(_Rules(constant))(text, 0)  # type: ignore[arg-type]  # anything with these attributes will do
    except (StopIteration, RecursionError, SystemError) as cause:
        raise ValueError("not valid JSON") from cause
    if end != len(text):
        raise ValueError(f"more text behind the JSON's end at {end}")
    return value


def quoted(text: str) -> str:
    """A string as JSON writes it."""
    return encode_basestring_ascii(text)

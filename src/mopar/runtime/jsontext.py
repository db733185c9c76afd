"""JSON by the C scanner and encoder below the module ``json``, which itself would take memory in every function.

The scanner takes the error for an invalid text from that module: some versions of Python import it for this; others
do not find it, and raise SystemError.
"""

from _json import encode_basestring_ascii, make_scanner

_BLANKS = " \t\r\n"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


class _Rules:
    """What the scanner reads from its decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = staticmethod(_refuse_constant)


_scan = make_scanner(_Rules)  # type: ignore[arg-type]  # anything with these attributes will do


def parse(data: "bytes | bytearray | memoryview") -> object:
    """The value of a JSON text. Raises ValueError where it is none."""
    text = str(data, "utf-8").strip(_BLANKS)
    try:
        value, end = _scan(text, 0)
    except (StopIteration, RecursionError, SystemError) as cause:
        raise ValueError("not valid JSON") from cause
    if end != len(text):
        raise ValueError(f"more text behind the JSON's end at {end}")
    return value


def quoted(text: str) -> str:
    """A string as JSON writes it."""
    return encode_basestring_ascii(text)

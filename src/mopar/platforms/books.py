"""Price books and platform limits: TOML data, dated and with their source."""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from mopar.types import PlatformLimits, PriceBook, UsageError

_BOOKS = Path(__file__).parent / "books"
_LIMITS = _BOOKS / "limits"
_OPTIONAL = {"mib_per_vcpu", "max_functions", "payload_bytes", "package_bytes", "hop_ms", "hop_ms_per_mib"}

T = TypeVar("T", PriceBook, PlatformLimits)


def book_names() -> tuple[str, ...]:
    """The price books that come with mopar, as ``--prices`` takes them."""
    return _names(_BOOKS)


def limit_names() -> tuple[str, ...]:
    """The platforms whose limits come with mopar, as ``--platform`` takes them."""
    return _names(_LIMITS)


def load_book(name_or_path: str) -> PriceBook:
    """The price book of that name, or in the TOML file at that path (its stem is its name).

    Raises:
        UsageError: no such book or file, or a file that is no price book; names the file and key.
    """
    path = _find(name_or_path, _BOOKS, "price book")
    book = _build(PriceBook, path)
    if book.memory_min_mib > book.memory_max_mib:
        raise UsageError(f"{path}: memory_min_mib {book.memory_min_mib} is over memory_max_mib {book.memory_max_mib}")
    for key in ("memory_min_mib", "memory_step_mib", "cpu_per_function", "mib_per_vcpu"):
        if getattr(book, key) == 0:
            raise UsageError(f"{path}: {key} must be over 0")
    if book.cold_rate > 1:
        raise UsageError(f"{path}: cold_rate {book.cold_rate} must be between 0 and 1")
    return book


def load_limits(name_or_path: str) -> PlatformLimits:
    """The limits of the platform of that name, or in the TOML file at that path.

    Raises:
        UsageError: as ``load_book`` does.
    """
    path = _find(name_or_path, _LIMITS, "platform")
    limits = _build(PlatformLimits, path)
    for key in ("hop_billed_share", "wire_billed_share"):
        if getattr(limits, key) > 1:
            raise UsageError(f"{path}: {key} {getattr(limits, key)} must be between 0 and 1")
    if limits.max_functions == 0:
        raise UsageError(f"{path}: max_functions must be at least 1")
    return limits


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def _find(name_or_path: str, folder: Path, what: str) -> Path:
    # A path is recognised by its looks, so that a file in the working directory never shadows a name.
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        return Path(name_or_path)
    names = _names(folder)
    if name_or_path not in names:
        raise UsageError(f"no {what} {name_or_path!r}: have {', '.join(names)}, or give the path of a TOML file")
    return folder / f"{name_or_path}.toml"


def _build(kind: type[T], path: Path) -> T:
    data = _read(path)
    fields = {field.name for field in dataclasses.fields(kind)} - {"name"}
    # A platform's date and source document its numbers; they are demanded, and not carried along.
    documentary = {"date", "source"} - fields
    unknown = data.keys() - fields - documentary
    if unknown:
        raise UsageError(f"{path}: unknown key {min(unknown)!r}; known: {', '.join(sorted(fields | documentary))}")
    for key in sorted(documentary):
        if not isinstance(data.get(key), str):
            raise UsageError(f"{path}: {key} must be there, as a text")
    for key, value in data.items():
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            raise UsageError(f"{path}: {key} must be a number of at least 0, not {value}")
    # What a platform does not forbid may be left out.
    absent = dict.fromkeys(_OPTIONAL & fields - data.keys())
    try:
        return msgspec.convert({"name": path.stem, **absent, **data}, type=kind)
    except msgspec.ValidationError as cause:
        raise UsageError(f"{path}: {cause}") from cause


def _read(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise UsageError(f"{path}: {cause.strerror or cause}") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise UsageError(f"{path}: not valid TOML: {cause}") from cause

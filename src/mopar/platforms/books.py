"""Price books and platform limits: TOML data, dated and with their source.

Installed packages provide more by entry points: in the group ``mopar.books`` (or ``mopar.limits``), a name and the
``Path`` of a TOML file.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

import msgspec

from mopar.files import read_bounded
from mopar.types import Orchestrator, PlatformLimits, PriceBook, UsageError

_BOOKS = Path(__file__).parent / "books"
_LIMITS = _BOOKS / "limits"
_BOOK_PLUGINS, _LIMIT_PLUGINS = "mopar.books", "mopar.limits"
_OPTIONAL = {"mib_per_vcpu", "max_functions", "payload_bytes", "package_bytes"}
_HOPS = ("hop_ms", "hop_ms_per_mib")

_MOST_BYTES = 1 << 20

T = TypeVar("T", PriceBook, PlatformLimits)


def book_names() -> tuple[str, ...]:
    """The price books that come with mopar and with installed packages, as ``--prices`` takes them."""
    return tuple(sorted({*_names(_BOOKS), *_plugins(_BOOK_PLUGINS)}))


def limit_names() -> tuple[str, ...]:
    """The platforms whose limits come with mopar and with installed packages, as ``--platform`` takes them."""
    return tuple(sorted({*_names(_LIMITS), *_plugins(_LIMIT_PLUGINS)}))


def load_book(name_or_path: str) -> PriceBook:
    """The price book of that name, or in the TOML file at that path. Its file's stem is its name.

    Raises:
        UsageError: there is no such book or file, or the file is no price book; names the file and key.
    """
    path = _find(name_or_path, _BOOKS, _BOOK_PLUGINS, "price book")
    book = _build(PriceBook, path)
    if book.memory_min_mib > book.memory_max_mib:
        raise UsageError(f"{path}: memory_min_mib {book.memory_min_mib} is over memory_max_mib {book.memory_max_mib}")
    for key in ("memory_min_mib", "memory_step_mib", "cpu_per_function", "mib_per_vcpu", "quota_period_ms"):
        if getattr(book, key) == 0:
            raise UsageError(f"{path}: {key} must be over 0")
    if book.cold_rate > 1:
        raise UsageError(f"{path}: cold_rate {book.cold_rate} must be between 0 and 1")
    if book.cpu_sizes:
        _check_cpu_sizes(book, path)
    _check_orchestrators(book, path)
    return book


def run_by(book: PriceBook, orchestration: str | None) -> PriceBook:
    """A book with the price of what runs a plan.

    Args:
        book: the prices.
        orchestration: ``gateway``, which costs nothing of the platform's, or one of the book's; None where nothing is
            named, so that plans do not tell of it.

    Raises:
        UsageError: the book knows none of that name.
    """
    if orchestration is None:
        return book
    known = {one.name: one for one in (Orchestrator(), *book.orchestrators)}
    if orchestration not in known:
        raise UsageError(f"--orchestration {orchestration}: prices {book.name} have {', '.join(known)}")
    return replace(book, orchestrator=known[orchestration])


def _check_orchestrators(book: PriceBook, path: Path) -> None:
    """Check that each has a name of its own, and prices that are any."""
    names = [one.name for one in book.orchestrators]
    if len(set(names)) < len(names) or not set(names).isdisjoint({"", Orchestrator().name}):
        raise UsageError(f"{path}: orchestrators: each needs a name of its own, and gateway is mopar's")
    for one in book.orchestrators:
        for field in dataclasses.fields(one):
            value = getattr(one, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise UsageError(f"{path}: orchestrators: {field.name} of {one.name} must be at least 0, not {value}")
    if book.orchestrator is not None:
        raise UsageError(f"{path}: orchestrator is chosen by --orchestration: write orchestrators")


def _check_cpu_sizes(book: PriceBook, path: Path) -> None:
    """Check that every memory size on sale is available with some number of CPUs."""
    if book.mib_per_vcpu is not None:
        raise UsageError(f"{path}: cpu_sizes and mib_per_vcpu exclude each other: memory buys CPU, or it does not")
    for size in book.cpu_sizes:
        most = book.memory_max_mib if size.memory_max_mib is None else size.memory_max_mib
        if not 0 < size.cpu < math.inf or not 0 <= size.memory_min_mib <= most <= book.memory_max_mib:
            raise UsageError(f"{path}: cpu_sizes: {size.cpu:g} CPUs with {size.memory_min_mib} to {most} MiB")
    if all(size.memory_max_mib not in {None, book.memory_max_mib} for size in book.cpu_sizes):
        raise UsageError(f"{path}: cpu_sizes: none goes with memory_max_mib {book.memory_max_mib}")


def load_limits(name_or_path: str) -> PlatformLimits:
    """The limits of the platform of that name, or in the TOML file at that path.

    Raises:
        UsageError: as ``load_book`` does.
    """
    path = _find(name_or_path, _LIMITS, _LIMIT_PLUGINS, "platform")
    limits = _build(PlatformLimits, path)
    _check_hops(limits, path)
    for key in ("hop_billed_share", "wire_billed_share"):
        if getattr(limits, key) > 1:
            raise UsageError(f"{path}: {key} {getattr(limits, key)} must be between 0 and 1")
    if limits.max_functions == 0:
        raise UsageError(f"{path}: max_functions must be at least 1")
    return limits


def _check_hops(limits: PlatformLimits, path: Path) -> None:
    """Check that the time of a call is either stated, or measured on a host where functions share memory."""
    stated = [key for key in _HOPS if key in _read(path)]
    if len(stated) < len(_HOPS) and (stated or not limits.shares_host):
        missing = next(key for key in _HOPS if key not in stated)
        raise UsageError(f"{path}: {missing} is missing: with shares_host alone a call is as measured")


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def _find(name_or_path: str, folder: Path, group: str, what: str) -> Path:
    # A path is recognised by its form, so that a file in the working directory never shadows a name.
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        return Path(name_or_path)
    own, plugins = _names(folder), _plugins(group)
    if name_or_path in own and name_or_path in plugins:
        raise UsageError(f"{what} {name_or_path!r}: {plugins[name_or_path].value} brings one of mopar's own name")
    if name_or_path in own:
        return folder / f"{name_or_path}.toml"
    if name_or_path in plugins:
        return _plugin_path(plugins[name_or_path])
    known = ", ".join(sorted({*own, *plugins}))
    raise UsageError(f"no {what} {name_or_path!r}: have {known}, or give the path of a TOML file")


def _plugins(group: str) -> dict[str, EntryPoint]:
    """Entry points of installed packages, by name."""
    return {point.name: point for point in entry_points(group=group)}


def _plugin_path(point: EntryPoint) -> Path:
    try:
        path = point.load()
    except (ImportError, AttributeError) as cause:
        raise UsageError(f"{point.group} {point.name!r}: {point.value} cannot be loaded: {cause}") from cause
    if not isinstance(path, Path):
        raise UsageError(f"{point.group} {point.name!r}: {point.value} is no Path of a TOML file")
    return path


def _build(kind: type[T], path: Path) -> T:
    data = _read(path)
    fields = {field.name for field in dataclasses.fields(kind)} - {"name"}
    # A platform's date and source document its numbers; they are required, but not kept.
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
    # A limit that a platform does not have may be left out.
    absent = dict.fromkeys(_OPTIONAL & fields - data.keys())
    try:
        return msgspec.convert({"name": path.stem, **absent, **data}, type=kind)
    except msgspec.ValidationError as cause:
        raise UsageError(f"{path}: {cause}") from cause


def _read(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(read_bounded(path, _MOST_BYTES).decode())
    except OSError as cause:
        raise UsageError(f"{path}: {cause.strerror or cause}") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise UsageError(f"{path}: not valid TOML: {cause}") from cause

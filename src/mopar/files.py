"""JSON forms of what the stages exchange, and files that are whole or absent."""

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import msgspec

from mopar.types import Manifest, MoparError, Plan, Profile, StorageError, UsageError
from mopar.types.shards import StepRecord, record_of, step_of

T = TypeVar("T")

_CHUNK = 1 << 20
MOST_READ_BYTES = 256 << 20
"""Of a profile, a plan, a manifest or another text: what is read whole is also decoded whole."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system calls a disk, a quota or a file that may not grow."""


@dataclass(frozen=True, slots=True)
class _LayerOrder:
    """What plans once had: the layers in another order than the model's; empty in most."""

    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _PlansOrder:
    """The same in a manifest."""

    plan: _LayerOrder


@dataclass(frozen=True, slots=True)
class _ProfileRecord(Profile):
    """A profile as its file has it."""

    shards: tuple[StepRecord, ...] = ()  # type: ignore[assignment]


def _with_shards(kind: type[Profile], profile: Profile, shards: tuple[Any, ...]) -> Profile:
    """A profile in memory as its file has it, or the other way round."""
    values = {field.name: getattr(profile, field.name) for field in fields(Profile)}
    return kind(**{**values, "shards": shards})


def _profile_lines(profile: Profile) -> bytes:
    """A profile's JSON: thousands of layers and steps, each on a line of its own."""
    record = _with_shards(_ProfileRecord, profile, tuple(record_of(step) for step in profile.shards))
    found = []
    for field in fields(record):
        value = getattr(record, field.name)
        body = msgspec.json.encode(value)
        if isinstance(value, tuple) and value:
            body = b"[\n    " + b",\n    ".join(msgspec.json.encode(item) for item in value) + b"\n  ]"
        found.append(b'  "' + field.name.encode() + b'": ' + body)
    return b"{\n" + b",\n".join(found) + b"\n}\n"


def to_json(value: Any) -> bytes:
    """A dataclass (or plain data) as indented UTF-8 JSON, ending in a newline; a profile with an item on each line."""
    if isinstance(value, Profile):
        return _profile_lines(value)
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def from_json(data: bytes, kind: type[T], *, what: str, error: type[MoparError]) -> T:
    """The ``kind`` that ``data`` encodes.

    Raises:
        error: ``data`` is not JSON, or not of that form; the message names ``what`` and the field.
    """
    try:
        value = _decoded(data, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as cause:
        raise error(f"{what}: not a valid {kind.__name__.lower()} file: {cause}; make the file again") from cause
    field = getattr(kind, "__dataclass_fields__", {}).get("schema")
    if field is not None and getattr(value, "schema", None) != field.default:
        found = getattr(value, "schema", None)
        raise error(f"{what}: schema version {found}, this mopar reads {field.default}; make the file again")
    return value


def _decoded(data: bytes, kind: type[T]) -> T:
    if (kind is Plan and msgspec.json.decode(data, type=_LayerOrder).order) or (
        kind is Manifest and msgspec.json.decode(data, type=_PlansOrder).plan.order
    ):
        raise ValueError("its layers stand in another order than the model's, which is no longer built: plan again")
    if kind is not Profile:
        return msgspec.json.decode(data, type=kind)
    record = msgspec.json.decode(data, type=_ProfileRecord)
    found: Any = _with_shards(Profile, record, tuple(step_of(step) for step in record.shards))
    return cast(T, found)


def read_json(path: Path, kind: type[T], *, error: type[MoparError]) -> T:
    """The ``kind`` that a file holds. Raises ``error`` where it is missing or malformed."""
    try:
        data = read_bounded(path)
    except OSError as cause:
        raise error(f"{path}: {cause.strerror or cause}") from cause
    return from_json(data, kind, what=str(path), error=error)


def open_regular(path: Path) -> BinaryIO:
    """A regular file, opened to be read. A FIFO, socket, device or folder is refused at once, and not waited for.

    Raises:
        OSError: it is of another kind, or cannot be opened.
    """
    _require_regular(os.stat(path), path)  # before it is opened: that alone makes some devices do something  # noqa: PTH116
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(handle), path)  # it may have been exchanged in between
        return os.fdopen(handle, "rb")
    except BaseException:  # an interrupt too: nobody else knows the handle
        os.close(handle)
        raise


def _require_regular(found: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_bounded(path: Path, limit_bytes: int = MOST_READ_BYTES) -> bytes:
    """All of a regular file.

    Raises:
        OSError: it is of another kind, cannot be read, or is larger than ``limit_bytes``.
    """
    chunks, total = [], 0
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            total += len(chunk)
            if total > limit_bytes:
                raise OSError(errno.EFBIG, f"Larger than {limit_bytes >> 20} MiB, which no such file is", str(path))
            chunks.append(chunk)
    return b"".join(chunks)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it at the end, or vanishes on an error.

    An OSError names ``path``.
    """
    temporary = _unused(path.parent, f".{path.name}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as cause:
        if cause.filename in {None, str(temporary)}:
            raise OSError(cause.errno, cause.strerror or str(cause), str(path)) from cause
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(prefix: str, home: Path | None = None) -> Iterator[Path]:
    """A new folder in ``home``, or else in ``TMPDIR``, that is gone afterwards.

    So it is if a signal ends the block, at whatever moment: also while the folder is made or removed.
    """
    folder = _unused(home or Path(tempfile.gettempdir()), prefix)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except (KeyboardInterrupt, OSError):  # the latter is what rmtree makes of the former
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _unused(home: Path, prefix: str) -> Path:
    """A path that nobody else has: known before anything is there, so that it can be removed for certain."""
    return home / f"{prefix}{secrets.token_hex(8)}"


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` is either as it was or complete."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def check_output(path: Path, *, folder: bool = False) -> None:
    """See that a file (or a folder) can be made at ``path``, before hours are spent on what goes there.

    Raises:
        UsageError: something of another kind is there, or a folder on the way is none or cannot be written.
    """
    if path.exists() and path.is_dir() != folder:
        raise UsageError(f"-o {path}: that is a {'file' if folder else 'folder'}: choose another path")
    home = nearest_folder(path)
    if not home.is_dir():
        raise UsageError(f"-o {path}: {home} is no folder: choose another path")
    if not os.access(home, os.W_OK | os.X_OK):
        raise UsageError(f"-o {path}: {home} cannot be written: choose another path")


def nearest_folder(path: Path) -> Path:
    """Of what a path lies in, the innermost that exists."""
    home = path.absolute().parent
    while not home.exists():
        home = home.parent
    return home


def explained(cause: OSError, path: Path | None = None) -> StorageError:
    """What the system refused, in one line, and what would do; ``path`` in place of the one that it names."""
    where = path if path is not None or cause.filename is None else Path(os.fsdecode(cause.filename))
    reason = cause.strerror or str(cause) or type(cause).__name__
    if cause.errno in NO_ROOM:
        temporary = where is None or where.is_relative_to(tempfile.gettempdir())
        hint = "make room, or set TMPDIR to a folder that has some" if temporary else "make room"
    elif cause.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        hint = "choose another path, or change its permissions"
    else:
        hint = "look at the disk and the path"
    return StorageError(f"{where}: {reason}: {hint}" if where is not None else f"{reason}: {hint}")


def require_room(folder: Path, nbytes: int) -> None:
    """See that a folder's disk has room for so many bytes. Raises OSError naming the folder."""
    if shutil.disk_usage(folder).free < nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def exchange(first: Path, second: Path) -> bool:
    """Let two paths change places in one step; False where the system or its file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    done: int = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return done == 0


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/mopar``, or ``~/.cache/mopar``."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification tells to ignore a relative path.
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "mopar"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a regular file, read in chunks. Raises OSError."""
    with open_regular(path) as file:
        return sha256_of_open(file)


def sha256_of_open(file: BinaryIO) -> str:
    """The same of what is left of an open file."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

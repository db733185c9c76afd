"""JSON forms of the types that the stages exchange, and files that are written atomically.

The gateway imports this module for its JSON alone: what hashes, copies and makes temporary files is imported where it
is used.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from mopar.types import MoparError, StorageError, UsageError

T = TypeVar("T")

_CHUNK = 1 << 20
MOST_READ_BYTES = 256 << 20
"""Largest profile, plan, manifest or other text file that is read: it is read and decoded as a whole."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for data that are not JSON, not of the type that is asked for, no UTF-8, or nested too deeply."""
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers for a full disk, an exhausted quota and a file-size limit."""


def to_json(value: object) -> bytes:
    """A dataclass (or plain data) as indented UTF-8 JSON, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def from_json(data: bytes, kind: type[T], *, what: str, error: type[MoparError], form: str | None = None) -> T:
    """The ``kind`` that ``data`` encodes.

    Args:
        data: UTF-8 JSON.
        kind: to decode to.
        what: is decoded, for messages.
        error: to raise.
        form: what such a document is called; by default as ``kind`` is.

    Raises:
        error: ``data`` is not JSON, not of that form, or of another version; the message names ``what`` and the field.
    """
    try:
        value = msgspec.json.decode(data, type=kind)
    except JSON_ERRORS as cause:
        name = form or kind.__name__.lower()
        raise error(f"{what}: not a valid {name} file: {cause}; make the file again") from cause
    field = getattr(kind, "__dataclass_fields__", {}).get("schema")
    if field is not None and getattr(value, "schema", None) != field.default:
        found = getattr(value, "schema", None)
        raise error(f"{what}: schema version {found}, this mopar reads {field.default}; make the file again")
    return value


def read_json(path: Path, kind: type[T], *, error: type[MoparError]) -> T:
    """Read a file as a ``kind``. Raises ``error`` where the file is missing or malformed."""
    try:
        data = read_bounded(path)
    except OSError as cause:
        raise error(f"{path}: {cause.strerror or cause}") from cause
    return from_json(data, kind, what=str(path), error=error)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. A FIFO, socket, device or folder is refused at once, without blocking.

    Raises:
        OSError: the file is not a regular one, or cannot be opened.
    """
    _require_regular(os.stat(path), path)  # before opening it, since opening some devices has effects  # noqa: PTH116
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(handle), path)  # the path may have been replaced in between
        return os.fdopen(handle, "rb")
    except BaseException:  # KeyboardInterrupt included: no one else can close the descriptor
        os.close(handle)
        raise


def _require_regular(found: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_bounded(path: Path, limit_bytes: int = MOST_READ_BYTES) -> bytes:
    """The contents of a regular file.

    Raises:
        OSError: the file is not a regular one, cannot be read, or is larger than ``limit_bytes``.
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
    """A temporary path beside ``path`` that replaces it at the end, or is removed on an error.

    An OSError that is raised names ``path``.
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
    """A new folder in ``home``, or else in ``TMPDIR``, that is removed afterwards.

    It is also removed where a signal interrupts the block, even while the folder is being made or removed.
    """
    import shutil
    import tempfile

    folder = _unused(home or Path(tempfile.gettempdir()), prefix)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except (KeyboardInterrupt, OSError):  # rmtree turns an interrupt into an OSError
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _unused(home: Path, prefix: str) -> Path:
    """An unused path. Choosing it before the file exists lets the caller remove it at any moment."""
    return home / f"{prefix}{os.urandom(8).hex()}"


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically: at any moment the file has its old or its new contents."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def check_output(path: Path, *, folder: bool = False) -> None:
    """Check that a file (or folder) can be written at ``path``, before hours are spent on its contents.

    Raises:
        UsageError: something of another kind exists there, or a parent is not a folder or cannot be written.
    """
    if path.exists() and path.is_dir() != folder:
        raise UsageError(f"-o {path}: that is a {'file' if folder else 'folder'}: choose another path")
    home = nearest_folder(path)
    if not home.is_dir():
        raise UsageError(f"-o {path}: {home} is no folder: choose another path")
    if not os.access(home, os.W_OK | os.X_OK):
        raise UsageError(f"-o {path}: {home} cannot be written: choose another path")


def nearest_folder(path: Path) -> Path:
    """The nearest parent of a path that exists."""
    home = path.absolute().parent
    while not home.exists():
        home = home.parent
    return home


def storage_error(cause: OSError, path: Path | None = None) -> StorageError:
    """An OSError as a StorageError: one line with its reason and a hint; ``path`` replaces the path that it names."""
    import tempfile

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
    """Check that the folder's disk has ``nbytes`` free. Raises OSError naming the folder."""
    import shutil

    if shutil.disk_usage(folder).free < nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def swap_paths(first: Path, second: Path) -> bool:
    """Swap two paths atomically; False where the system or the file system does not support that."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    done: int = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return done == 0


def replace_folder(staging: Path, out: Path) -> None:
    """Move a finished folder to ``out``; what was there is moved to ``staging``, for the caller to remove.

    Raises:
        OSError: it cannot be moved; then ``out`` is as it was.
    """
    if not out.exists():
        try:
            staging.rename(out)
        except OSError:
            if not out.exists():  # otherwise another process has finished first, and its folder is replaced
                raise
        else:
            return
    if swap_paths(staging, out):
        return
    with temporary_folder(f".{out.name}.old.", out.parent) as aside:
        try:
            out.rename(aside / "old")
            staging.rename(out)
        except (OSError, KeyboardInterrupt):
            if not out.exists():
                (aside / "old").rename(out)
            raise


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/mopar``, or ``~/.cache/mopar``."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "mopar"


def state_directory() -> Path:
    """``$XDG_STATE_HOME/mopar``, or ``~/.local/state/mopar``: what has to outlive a command, and is no copy."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "mopar"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a regular file, read in chunks. Raises OSError."""
    with open_regular(path) as file:
        return sha256_of_open(file)


def sha256_of_open(file: BinaryIO) -> str:
    """Hexadecimal SHA-256 of the rest of an open file."""
    import hashlib

    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

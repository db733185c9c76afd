"""A node of its own inside this machine: a disk with its own read-ahead, and on it Python, libraries and the engine.

The disk is a file on a loop device. Nothing else reads what is on it, so that a worker started from there finds nothing
in the page cache once the files are evicted, as on an empty node.
"""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from mopar.bundle import Bundle
from mopar.limits import Cgroup, evict_files
from mopar.platforms.base import RecordedCall
from mopar.platforms.local.launch import WorkerLaunch, WorkerRun
from mopar.platforms.local.library import engine_library

_DISK_MIB = 2048
_UNUSED = shutil.ignore_patterns("site-packages", "test", "tests", "config-*", "idlelib", "tkinter", "ensurepip")
_MAPPED = (
    "import ctypes, mopar.runtime.worker; ctypes.CDLL({!r}); "
    "print(*{{line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}})"
)


class NoNodeError(Exception):
    """Such a disk cannot be made here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Node:
    """A mounted disk with a worker's files.

    Attributes:
        root: where it is mounted.
        device: the loop device's name.
        library: the engine's.
    """

    root: Path
    device: str
    library: Path

    def read_ahead(self, kib: int) -> None:
        """Set the disk's read-ahead, for files that are opened from now on."""
        Path(f"/sys/block/{self.device}/queue/read_ahead_kb").write_text(str(kib))

    def launch(self, bundle: Bundle, function: str, calls: Sequence[RecordedCall]) -> "NodeLaunch":
        """A function of a bundle with its calls of one request."""
        inner = WorkerLaunch.of(bundle, function, calls)
        return NodeLaunch(self, replace(inner, spec=replace(inner.spec, library=self.library)))

    def programs(self) -> tuple[Path, ...]:
        """Python and all libraries."""
        found = (path for path in (self.root / "lib").rglob("*") if ".so" in path.name)
        return self.library, *(self.root / "bin").iterdir(), *found


@dataclass(frozen=True, slots=True)
class NodeLaunch:
    """A worker's launch, by the node's Python.

    Attributes:
        node: where it is started.
        inner: what is launched.
        programs: evicted before every start, beside the bundle's files.
    """

    node: Node
    inner: WorkerLaunch
    programs: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The bundle's files that it reads."""
        return self.inner.files

    def alone(self) -> "NodeLaunch":
        """The same, with Python and all libraries evicted before every start."""
        return replace(self, programs=self.node.programs())

    def start(self, cgroup: Cgroup | None) -> WorkerRun:
        """Exec inside ``cgroup`` and load."""
        evict_files(self.programs)
        with mock.patch.object(sys, "executable", str(self.node.root / "python")):
            return self.inner.start(cgroup)

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Meanwhile it runs without limits, and what others map of what it maps is charged to this process."""
        with self.start(None) as running:
            running.request()
            yield


@contextlib.contextmanager
def own_node(folder: Path) -> Iterator[Node]:
    """A node whose disk is a file in ``folder``.

    Raises:
        NoNodeError: this user may not mount one.
    """
    image, root = folder / "disk", folder / "node"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(_DISK_MIB << 20)
    with contextlib.ExitStack() as stack:
        _ran("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        # Direct, so that the image's own pages are not cached as well.
        device = _ran("losetup", "--find", "--show", "--direct-io=on", str(image)).strip()
        stack.callback(_ran, "losetup", "--detach", device)
        _ran("mount", device, str(root))
        stack.callback(_ran, "umount", str(root))
        yield Node(root, Path(device).name, _installed(root))


def _installed(root: Path) -> Path:
    """Copy Python, the libraries that a worker maps and the engine to ``root``; the engine's path."""
    library = Path(shutil.copy(engine_library(), root))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'src')!r}); {_MAPPED.format(str(library))}"
    mapped = _ran(sys.executable, "-I", "-S", "-B", "-c", code).split()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(Path(sys.base_prefix) / "lib" / version, root / "lib" / version, ignore=_UNUSED)
    (root / "bin").mkdir()
    program = Path(shutil.copy(Path(sys.executable).resolve(), root / "bin"))
    for path in map(Path, mapped):
        if path != library and "lib-dynload" not in path.parts:
            shutil.copy(path.resolve(), root / "lib" / path.name)
    script = root / "python"
    # The shell itself maps the system's libraries.
    script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={root}/lib exec {program} "$@"\n')
    script.chmod(0o755)
    return library


def _ran(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as cause:
        raise NoNodeError(f"{command[0]}: {getattr(cause, 'stderr', None) or cause}") from cause

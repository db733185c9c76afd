"""Memory of clients of this machine, registered by name: the protocol's system shared memory.

A region is a file below /dev/shm of the user whose process registers it. The gateway maps none of it: a client may cut
a file short at any time, and whoever then reads a mapping of it dies. Functions map it, and are started again.
"""

import errno
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from mopar.buffers import fresh_bytes
from mopar.gateway.budget import MemoryBudget
from mopar.segments import Place, SharedSegment
from mopar.types import OverloadedError, RequestError

FOLDER = "/dev/shm"  # noqa: S108 - where POSIX shared memory is on Linux
_MOST_REGIONS = 1024
_LONGEST_NAME = 255
_ALIGNMENT = 64
"""Places at multiples of it can be used by functions as they are."""


class ClientMemory(SharedSegment):
    """A client's file, open until the last request that uses it ends."""

    def __init__(self, descriptor: int, size: int, identity: tuple[int, int]) -> None:
        super().__init__(descriptor, size)
        self.identity = identity

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class FilePart:
    """``byte_size`` bytes at ``offset`` of the shared memory ``key``, as ``shm_open`` takes it."""

    key: str
    offset: int
    byte_size: int


Beside = Callable[[Callable[[FilePart, int], ClientMemory], FilePart, int], Awaitable[ClientMemory]]


@dataclass(frozen=True, slots=True)
class Region:
    """A registered region.

    Attributes:
        name: that requests give.
        part: of a file.
        owner: user id of the client that registered it, and of the file.
        memory: the file.
    """

    name: str
    part: FilePart
    owner: int
    memory: ClientMemory

    def place(self, offset: int, nbytes: int, what: str) -> Place:
        """Bytes of the region. Raises RequestError where they are not all inside it."""
        size = self.part.byte_size
        if offset + nbytes > size:
            raise RequestError(f"{what}: {nbytes} bytes at {offset} reach past region {self.name}, which has {size}")
        return Place(self.memory, self.part.offset + offset, nbytes)


@dataclass(slots=True)
class Regions:
    """The regions that are registered; each can be used by its owner alone.

    Attributes:
        budget: bounds their bytes, together with the memory of requests; None for no bound.
    """

    budget: MemoryBudget | None = None
    _known: dict[str, Region] = field(default_factory=dict)
    _opening: set[str] = field(default_factory=set)

    async def register(self, name: str, part: FilePart, caller: int | None, beside: Beside) -> None:
        """Register a region.

        Args:
            name: not in use.
            part: the region.
            caller: user id of the client; None for one of another machine.
            beside: calls a function in another thread: memory behind a large region takes long to allocate.

        Raises:
            RequestError: it is wrong, not there or not the client's.
            OverloadedError: there are too many, or too large ones.
        """
        owner = _of_this_machine(caller)
        if name in self._known or name in self._opening:
            raise RequestError(f"region {name[:200]} is registered already: unregister it first")
        if not 0 < len(name) <= _LONGEST_NAME or part.byte_size < 1:
            raise RequestError(f"a region has a name of at most {_LONGEST_NAME} characters, and at least 1 byte")
        if len(self._known) + len(self._opening) >= _MOST_REGIONS:
            raise OverloadedError(f"{_MOST_REGIONS} regions are registered: unregister some")
        if self.budget is not None:
            self.budget.take(part.byte_size)
        self._opening.add(name)
        try:
            memory = await beside(_opened, part, owner)
        except BaseException:  # a cancellation too: its bytes are not in use
            self._give(part.byte_size)
            raise
        finally:
            self._opening.discard(name)
        self._known[name] = Region(name, part, owner, memory)

    def unregister(self, name: str, caller: int | None) -> None:
        """Forget a region; nothing where there is none of that name. Raises RequestError: it is somebody else's."""
        owner = _of_this_machine(caller)
        if name in self._known:
            self._of(name, owner)
            self._give(self._known.pop(name).part.byte_size)

    def unregister_all(self, caller: int | None) -> None:
        """Forget all regions of the client's user."""
        owner = _of_this_machine(caller)
        for name in [name for name, region in self._known.items() if region.owner == owner]:
            self.unregister(name, caller)

    def get(self, name: str, caller: int | None) -> Region:
        """A region of the client's. Raises RequestError."""
        return self._of(name, _of_this_machine(caller))

    def of(self, caller: int | None) -> Mapping[str, Region]:
        """All regions of the client's, by name."""
        owner = _of_this_machine(caller)
        return {name: region for name, region in self._known.items() if region.owner == owner}

    def _of(self, name: str, owner: int) -> Region:
        region = self._known.get(name)
        if region is None or region.owner != owner:  # whether others have one of that name is not told
            raise RequestError(f"no region {name[:200]} of yours is registered")
        return region

    def _give(self, count: int) -> None:
        if self.budget is not None:
            self.budget.give(count)


def read(place: Place) -> memoryview:
    """A copy of the bytes at a place. Raises RequestError where the file has been cut short."""
    data = fresh_bytes(place.nbytes)
    if os.preadv(place.segment.descriptor, [data], place.offset) != place.nbytes:
        raise RequestError("a shared memory region is shorter than it was when it was registered")
    return data


def write(place: Place, data: bytes | bytearray | memoryview) -> None:
    """Copy bytes to a place. Raises RequestError where they are more than fit."""
    view = memoryview(data).cast("B")
    if len(view) > place.nbytes:
        raise RequestError(
            f"an output of {len(view)} bytes does not fit into the {place.nbytes} that were given for it"
        )
    offset = place.offset
    while view:
        written = os.pwrite(place.segment.descriptor, view, offset)
        view, offset = view[written:], offset + written


def aligned(place: Place) -> bool:
    """Whether functions can use a place as it is."""
    return place.offset % _ALIGNMENT == 0


def overlap(one: Place, other: Place) -> bool:
    """Whether two places of clients' memory share bytes."""
    assert isinstance(one.segment, ClientMemory)
    assert isinstance(other.segment, ClientMemory)
    return (
        one.segment.identity == other.segment.identity
        and one.offset < other.offset + other.nbytes
        and other.offset < one.offset + one.nbytes
    )


def _of_this_machine(caller: int | None) -> int:
    if caller is None:
        raise RequestError(
            "shared memory is for clients on the gateway's own machine and network: send binary data", 403
        )
    return caller


def _opened(part: FilePart, owner: int) -> ClientMemory:
    """The file of a key, with memory behind all of the region."""
    key, offset, byte_size = part.key, part.offset, part.byte_size
    name = key.removeprefix("/")
    if not 0 < len(name) <= _LONGEST_NAME or "/" in name or "\0" in name or name in {".", ".."}:
        raise RequestError(f"key {key[:200]!r} is no name of shared memory")
    try:
        # A pipe of that name must not hold up the gateway.
        descriptor = os.open(f"{FOLDER}/{name}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, UnicodeError) as cause:
        raise RequestError(f"shared memory {key[:200]} cannot be opened: it is not there, or not yours") from cause
    try:
        identity = _checked(descriptor, f"shared memory {key[:200]}", offset, byte_size, owner)
        # Pages that nobody has written yet would be charged to the function that writes them first.
        os.posix_fallocate(descriptor, offset, byte_size)
    except OSError as cause:
        os.close(descriptor)
        if cause.errno in {errno.ENOMEM, errno.ENOSPC}:
            raise OverloadedError(f"there is no memory left behind shared memory {key[:200]}") from cause
        raise RequestError(f"shared memory {key[:200]} cannot be used: {cause.strerror}") from cause
    except BaseException:  # a refusal, or an interrupt: nobody else closes it
        os.close(descriptor)
        raise
    return ClientMemory(descriptor, offset + byte_size, identity)


def _checked(descriptor: int, what: str, offset: int, byte_size: int, owner: int) -> tuple[int, int]:
    """The identity of a file, once it is known to be the owner's, and large enough. Raises RequestError."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
        raise RequestError(f"{what} cannot be opened: it is not there, or not yours")
    if offset + byte_size > found.st_size:
        raise RequestError(f"{what} has {found.st_size} bytes: {byte_size} at {offset} reach past its end")
    return found.st_dev, found.st_ino

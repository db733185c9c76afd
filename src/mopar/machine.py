"""Facts about this machine: measurements and packed files record them."""

import functools
import os
from pathlib import Path

from mopar import __version__
from mopar.runtime.cpu import own_cpu_kind
from mopar.types import Machine

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MIB_IN_KIB = 1024


@functools.cache
def machine_facts() -> Machine:
    """This machine, as a profile or a bundle records it."""
    import importlib.metadata  # 2 MiB, which the gateway has no use for
    import platform

    fields = _cpu_fields()
    return Machine(
        cpu_model=fields.get("model name") or fields.get("CPU part") or platform.processor() or "unknown",
        cpu_kind=own_cpu_kind(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=_memory_mib(),
        kernel=platform.release(),
        python=platform.python_version(),
        onnxruntime=importlib.metadata.version("onnxruntime"),
        mopar=__version__,
    )


def _cpu_fields() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo; empty where there is no such file."""
    try:
        text = _CPUINFO.read_text()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    return fields


def last_cache_mib() -> float:
    """Size of the last-level cache; 0 where the system does not report it."""
    sizes = []
    for path in _CACHES.glob("index*/size"):
        try:
            sizes.append(int(path.read_text().strip().removesuffix("K")) / _MIB_IN_KIB)
        except (OSError, ValueError):
            continue
    return max(sizes, default=0.0)


def available_bytes() -> int:
    """Memory available now without swapping; 1 GiB where the system does not report it."""
    told = (_meminfo_kib("MemAvailable") or _MIB_IN_KIB * _MIB_IN_KIB) << 10
    return min([told, *map(_limit_bytes, _CONTAINER_LIMITS)])


def _limit_bytes(path: Path) -> int:
    """A container's memory limit; larger than any machine's memory where there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # cgroup v2 writes ``max`` for no limit
        return 1 << 62


def _memory_mib() -> int:
    """The machine's memory; 0 where the system does not report it."""
    return _meminfo_kib("MemTotal") // _MIB_IN_KIB


def _meminfo_kib(wanted: str) -> int:
    """The value of a line of /proc/meminfo; 0 where there is no such line."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(":")
        if key == wanted:
            return int(value.split()[0])
    return 0

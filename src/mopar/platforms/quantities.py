"""Kubernetes quantities of memory and CPU: written from a plan's figures, and read strictly from what a user gives.

Platforms take what they do not understand for something else: ``128MB`` sets no limit at all, and ``64m`` is less than
one byte. So nothing is sent that was not made or read here.
"""

import re
from math import ceil, inf

from mopar.types import UsageError

_MIB = 1 << 20
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|k|M|G)")
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}
_CPU = re.compile(r"([0-9]+)m|([0-9]+(?:\.[0-9]+)?)")
_MILLI = 1000


def memory_quantity(memory_mib: int) -> str:
    """MiB as a quantity, such as ``128Mi``."""
    assert memory_mib > 0, "a limit of no memory"
    return f"{memory_mib}Mi"


def cpu_quantity(cpu: float) -> str:
    """A number of CPUs as a quantity, in thousandths: ``500m`` for 0.5, ``2`` for 2. It is rounded up."""
    assert 0 < cpu < inf, "a limit of no CPU"
    milli = ceil(cpu * _MILLI - 1e-6)
    return f"{milli}m" if milli % _MILLI else str(milli // _MILLI)


def parse_memory_mib(text: str, option: str) -> int:
    """A quantity of memory in MiB, rounded up.

    Args:
        text: such as ``128Mi``.
        option: that it was given with, for messages.

    Raises:
        UsageError: it is none; the message says what to write.
    """
    found = _MEMORY.fullmatch(text)
    nbytes = float(found[1]) * _UNITS[found[2]] if found is not None else 0.0
    if not 1 <= nbytes < inf:
        raise UsageError(f"{option} {text!r}: write memory as a Kubernetes quantity, such as {_meant(text)}")
    return ceil(nbytes / _MIB)


def parse_cpu(text: str, option: str) -> float:
    """A quantity of CPU as a number of CPUs. Raises UsageError as ``parse_memory_mib`` does."""
    found = _CPU.fullmatch(text)
    if found is not None:
        cpu = int(found[1]) / _MILLI if found[1] else float(found[2])
        if 0 < cpu < inf:
            return cpu
    raise UsageError(f"{option} {text!r}: write CPUs as a Kubernetes quantity, such as 500m or 2")


def _meant(text: str) -> str:
    """What a user probably meant: ``128MB`` is written ``128M``."""
    number, letters = re.fullmatch(r"([0-9.]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # matches all
    unit = {"kb": "k", "mb": "M", "gb": "G", "kib": "Ki", "mib": "Mi", "gib": "Gi", "m": "Mi", "g": "Gi"}.get(
        letters.lower()
    )
    return f"{number}{unit}" if number and unit and _MEMORY.fullmatch(f"{number}{unit}") else "128Mi"

"""What else a machine did while something was timed on it."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from mopar.types import MachineLoad

_BUSY = MachineLoad(lost=0.02, others_busy=0.3, spread=0.15)
"""From here on figures are not to be trusted: a busy neighbour core alone made models 1.3 times slower."""
_WATCH_S = 0.2
_IDLE_WATCH_S = 0.1


def is_busy(load: MachineLoad | None) -> bool:
    """Whether what was timed meanwhile may be off."""
    if load is None:
        return False
    return load.lost > _BUSY.lost or load.others_busy > _BUSY.others_busy or load.spread > _BUSY.spread


def busy_text(load: MachineLoad) -> str:
    """What speaks against the figures, in one line."""
    reasons = []
    if load.lost > _BUSY.lost:
        reasons.append(f"others had the core for {load.lost:.0%} of the time")
    if load.others_busy > _BUSY.others_busy:
        reasons.append(f"the other cores were busy for {load.others_busy:.0%} of it")
    if load.spread > _BUSY.spread:
        reasons.append(f"half of the runs differ by {load.spread:.0%}")
    return ", ".join(reasons)


class Watch:
    """How busy the cores were that are not ours, from entering the context to leaving it.

    Args:
        core: that is measured on; None where that is not known, and what we use ourselves is taken off the whole.
    """

    def __init__(self, core: int | None) -> None:
        self._core = core
        self.others_busy = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        self._before, self._own = core_ticks(), sum(os.times()[:4])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See what became of the time."""
        own_ticks = (sum(os.times()[:4]) - self._own) * os.sysconf("SC_CLK_TCK")
        self.others_busy = _busy_share(self._before, core_ticks(), self._core, own_ticks)


def busy_now() -> bool:
    """Whether others use the machine at this moment."""
    with Watch(None) as watch:
        time.sleep(_WATCH_S)
    return watch.others_busy > _BUSY.others_busy


def _busy_share(
    before: Mapping[int, tuple[int, int]], after: Mapping[int, tuple[int, int]], core: int | None, own_ticks: float
) -> float:
    """The part of their time in which cores but ``core`` were busy; without it, what ``own_ticks`` do not explain."""
    busy = total = 0.0
    for number, (used, idle) in after.items():
        if number != core and number in before:
            busy += used - before[number][0]
            total += used + idle - sum(before[number])
    if core is None:
        busy -= own_ticks
    return min(max(busy / total, 0.0), 1.0) if total > 0 else 0.0


def core_ticks() -> dict[int, tuple[int, int]]:
    """Of each core, ticks in use and idle since the start; empty where /proc does not tell."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.startswith("cpu") and not line.startswith("cpu "))
    found = {}
    for name, *ticks in fields:
        user, nice, system, idle, waiting, *rest = map(int, ticks)
        found[int(name.removeprefix("cpu"))] = (user + nice + system + sum(rest[:3]), idle + waiting)
    return found


def idlest_core() -> int:
    """Of the cores that this process may use, the one that was idle most in the last tenth of a second."""
    allowed = os.sched_getaffinity(0)
    before = core_ticks()
    time.sleep(_IDLE_WATCH_S)
    idle = {core: ticks - before.get(core, (0, 0))[1] for core, (_, ticks) in core_ticks().items()}
    # The first core serves most interrupts, so it is the last choice of equals.
    return max(allowed, key=lambda core: (idle.get(core, 0), core))

"""Time for which the parts of a slice wait for each other and hold their memory, which is billed.

Where functions share a host, each part gets all its calls of a request at once, and waits inside for what the others
produce. It is held from the start of the group to the end of its own last call.
"""

from collections.abc import Mapping, Sequence

from mopar.planning.model.calls import CallTime
from mopar.planning.numbers import Num


def stage_ms(time: CallTime[Num], *, first: bool) -> Num:
    """How long a stage holds a part that computes in it.

    The exchange before a later stage is waiting; how a group's first calls come to its functions is not.
    """
    return time.inside_ms if first else time.inside_ms + time.outside_ms


def waiting_ms(stages: Sequence[Mapping[str, CallTime[float]]]) -> dict[str, float]:
    """For each function of a group, how long it waits, from the times of its calls.

    Args:
        stages: one after the other: the time of each function that computes in it. All of them begin a stage at once,
            when the slowest of the stage before has ended.
    """
    clock_ms, computed, held = 0.0, dict[str, float](), dict[str, float]()
    for number, stage in enumerate(stages):
        taken = {name: stage_ms(time, first=number == 0) for name, time in stage.items()}
        for name, ms in taken.items():
            computed[name] = computed.get(name, 0.0) + stage[name].inside_ms
            held[name] = clock_ms + ms
        clock_ms += max(taken.values())
    return {name: held[name] - computed[name] for name in held}

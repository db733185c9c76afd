"""Profiles come from files: an inconsistent one is refused before the search uses it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from mopar.planning import plan
from mopar.types import GraphPart, PartProfile, Profile, ProfileError, ShardStep, Share
from tests.profiles import FREE, MIB, PAPER, chain

Change = Callable[[Profile], Profile]


def altered(part: str, **changes: Any) -> Change:
    """Change the last of the profile's ``part``, or the part itself."""

    def change(profile: Profile) -> Profile:
        found: Any = getattr(profile, part)
        if isinstance(found, tuple):
            found = (*found[:-1], dataclasses.replace(found[-1], **changes))
        else:
            found = dataclasses.replace(found, **changes)
        return with_part(profile, part, found)

    return change


def doubled(part: str) -> Change:
    return lambda profile: with_part(profile, part, (*getattr(profile, part), getattr(profile, part)[-1]))


def with_part(profile: Profile, part: str, value: Any) -> Profile:
    parts: dict[str, Any] = {part: value}
    return dataclasses.replace(profile, **parts)


BROKEN: dict[str, tuple[Change, str]] = {
    "no layers": (lambda profile: dataclasses.replace(profile, layers=()), "no layers"),
    "numbering": (altered("layers", index=7), "not numbered"),
    "unknown weight": (altered("layers", weights=("ghost",)), "weight 'ghost'"),
    "not a time": (altered("layers", latency_ms=float("nan")), "latency_ms nan"),
    "endless": (altered("layers", latency_ms=float("inf")), "latency_ms inf"),
    "negative": (altered("weights", resident_bytes=-1), "resident_bytes -1"),
    "huge": (altered("weights", file_bytes=2**62), "file_bytes"),
    "weight twice": (doubled("weights"), "2 times"),
    "tensor twice": (doubled("tensors"), "2 times"),
    "made nowhere": (altered("tensors", producer=-2), "is made in layer"),
    "read before": (altered("tensors", consumers=(0,)), "is made in layer"),
    "read nowhere": (altered("tensors", consumers=(99,)), "is made in layer"),
    "cut outside": (altered("cut_positions", index=99), "cut positions do not rise"),
    "cut twice": (doubled("cut_positions"), "cut positions do not rise"),
    "crossing ghost": (altered("cut_positions", tensors=("ghost",)), "no tensor 'ghost'"),
    "answer lacks": (altered("outputs", name="ghost"), "no tensor 'ghost' of the model"),
    "memory": (altered("whole", memory_mib=-1.0), "memory_mib -1"),
    "hop": (altered("runtime", hop_ms=-1.0), "hop_ms -1"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_profile_whose_parts_do_not_fit_is_refused(change: Change, message: str) -> None:
    with pytest.raises(ProfileError, match=rf"{message}.*: profile the model again"):
        plan(change(chain(4)), PAPER, FREE)


def test_a_layer_may_read_what_it_makes() -> None:
    """Layers of several nodes do."""
    profile = altered("tensors", consumers=(3, 4))(chain(4))
    assert profile.tensors[-1].producer == 3
    assert plan(profile, PAPER, FREE).functions


HALF = MIB // 8


def step(
    start: int = 1,
    stop: int = 3,
    *,
    made: tuple[Share, ...] = (Share("t2", 1, 0, HALF), Share("t2", 1, HALF, 2 * HALF)),
    taken: tuple[Share, ...] = (Share("t0"),),
    places: tuple[tuple[int, int], ...] = ((0, 2), (1, 2)),
    **numbers: float,
) -> ShardStep:
    """A step of a chain of four: two halves of layers 1 and 2, or an invalid variant."""
    needs: dict[str, Any] = {"time_share": 0.5, "resident_bytes": 1, "file_bytes": 1, "activation_bytes": 1} | numbers
    parts = [
        PartProfile(part=GraphPart(*place, taken, (share,) if share.tensor else ()), **needs)
        for place, share in zip(places, made, strict=True)
    ]
    return ShardStep(start, stop, "axis 1", tuple(parts))


NONE = Share("")
"""Shares of a part that produces nothing."""
BROKEN_STEPS: dict[str, tuple[ShardStep, str]] = {
    "backwards": (step(3, 1), "between cut positions"),
    "nothing": (step(2, 2), "between cut positions"),
    "outside": (step(1, 9), "between cut positions"),
    "before": (step(-1, 3), "between cut positions"),
    "one part": (step(places=((0, 1),), made=(Share("t2"),)), "fewer than 2 parts"),
    "out of order": (step(places=((1, 2), (0, 2))), "parts 0 to 1 of 2"),
    "of three": (step(places=((0, 3), (1, 3))), "parts 0 to 1 of 2"),
    "twice": (step(places=((0, 2), (0, 2))), "parts 0 to 1 of 2"),
    "alone": (step(made=(Share("t2"), NONE)), "fewer than 2 parts"),
    "unknown input": (step(taken=(Share("ghost"),)), "'ghost'"),
    "unknown output": (step(made=(Share("t2"), Share("ghost"))), "'ghost'"),
    "input twice": (step(taken=(Share("t0"), Share("t0"))), "has twice"),
    "not yet made": (step(taken=(Share("t3"),)), "does not cross its start"),
    "read before": (step(taken=(Share("x"),)), "does not cross its start"),
    "inner": (step(made=(Share("t2"), Share("t1"))), "does not cross its end"),
    "summand taken": (step(taken=(Share("t0", summand=True),)), "a summand of 't0'"),
    "summand along": (step(made=(Share("t2", 1, 0, HALF, summand=True),) * 2), "a summand of 't2'"),
    "axis": (step(taken=(Share("t0", 2, 0, 1),)), "axis 2"),
    "axis below": (step(taken=(Share("t0", -1, 0, 1),)), "axis -1"),
    "span outside": (step(taken=(Share("t0", 1, 0, 2 * HALF + 1),)), "whose shape is"),
    "span below": (step(taken=(Share("t0", 1, -1, 1),)), "whose shape is"),
    "span empty": (step(taken=(Share("t0", 1, 5, 5),)), "whose shape is"),
    "whole with a span": (step(taken=(Share("t0", None, 0, 5),)), "whose shape is"),
    "gap": (step(made=(Share("t2", 1, 0, 5), Share("t2", 1, 6, 2 * HALF))), "not all of it, once"),
    "overlap": (step(made=(Share("t2", 1, 0, 6), Share("t2", 1, 5, 2 * HALF))), "not all of it, once"),
    "ends early": (step(made=(Share("t2", 1, 0, 5), Share("t2", 1, 5, 6))), "not all of it, once"),
    "begins late": (step(made=(Share("t2", 1, 1, 5), Share("t2", 1, 5, 2 * HALF))), "not all of it, once"),
    "descending": (step(made=(Share("t2", 1, HALF, 2 * HALF), Share("t2", 1, 0, HALF))), "not all of it, once"),
    "two axes": (step(made=(Share("t2", 0, 0, 1), Share("t2", 1, 0, 2 * HALF))), "not all of it, once"),
    "both whole": (step(made=(Share("t2"), Share("t2"))), "not all of it, once"),
    "whole and summand": (step(made=(Share("t2"), Share("t2", summand=True))), "not all of it, once"),
    "time": (step(time_share=-0.1), "time_share -0.1"),
    "more than all": (step(time_share=1.5), "time_share 1.5"),
    "no time": (step(time_share=float("nan")), "time_share nan"),
    "endless": (step(activation_bytes=float("inf")), "activation_bytes inf"),
    "less than nothing": (step(resident_bytes=-1), "resident_bytes -1"),
    "huge": (step(file_bytes=2**62), "file_bytes"),
}


@pytest.mark.parametrize(("broken", "message"), BROKEN_STEPS.values(), ids=BROKEN_STEPS)
def test_steps_that_do_not_fit_are_refused(broken: ShardStep, message: str) -> None:
    profile = chain(4)
    assert plan(dataclasses.replace(profile, shards=(step(),)), PAPER, FREE).functions
    with pytest.raises(ProfileError, match=rf"{message}.*: profile the model again") as caught:
        plan(dataclasses.replace(profile, shards=(step(), broken)), PAPER, FREE)
    assert "\n" not in str(caught.value)


def test_a_step_begins_and_ends_where_one_can_cut() -> None:
    profile = chain(4)
    fewer = dataclasses.replace(profile, cut_positions=profile.cut_positions[1:], shards=(step(),))
    with pytest.raises(ProfileError, match="layers 1 to 3 does not lie between cut positions"):
        plan(fewer, PAPER, FREE)

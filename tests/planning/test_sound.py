"""A profile comes from a file: one whose parts do not fit is refused before the search trusts it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from mopar.planning import plan
from mopar.types import Profile, ProfileError
from tests.planning.strategies import FREE, PAPER, chain

Change = Callable[[Profile], Profile]


def altered(part: str, **changes: Any) -> Change:
    """The last of the profile's ``part`` changed, or the part itself."""

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
    """As layers of several nodes do."""
    profile = altered("tensors", consumers=(3, 4))(chain(4))
    assert profile.tensors[-1].producer == 3
    assert plan(profile, PAPER, FREE).functions

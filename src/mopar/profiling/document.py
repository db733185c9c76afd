"""A profile as its file has it: JSON with a layer, a tensor or a step on each line, and steps in a compact form.

A large model has thousands of layers and steps. Of a step, the figures of all its parts stand side by side, and what
they share is written once (``mopar.types.shards.StepRecord``).
"""

from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

from mopar.files import from_json, read_bounded, write_whole
from mopar.types import Profile, ProfileError
from mopar.types.shards import StepRecord, record_of, step_of


@dataclass(frozen=True, slots=True)
class _Record(Profile):
    """A profile whose steps are in the compact form."""

    shards: tuple[StepRecord, ...] = ()  # type: ignore[assignment]


def profile_json(profile: Profile) -> bytes:
    """A profile as UTF-8 JSON, ending in a newline."""
    found = []
    for field in fields(Profile):
        value = getattr(profile, field.name)
        if field.name == "shards":
            value = tuple(record_of(step) for step in profile.shards)
        body = msgspec.json.encode(value)
        if isinstance(value, tuple) and value:
            body = b"[\n    " + b",\n    ".join(msgspec.json.encode(item) for item in value) + b"\n  ]"
        found.append(b'  "' + field.name.encode() + b'": ' + body)
    return b"{\n" + b",\n".join(found) + b"\n}\n"


def profile_from_json(data: bytes, *, what: str) -> Profile:
    """The profile that ``data`` encodes.

    Raises:
        ProfileError: it is not JSON, not of that form, or of another version; the message names ``what``.
    """
    record = from_json(data, _Record, what=what, error=ProfileError, form="profile")
    try:
        steps = tuple(step_of(step) for step in record.shards)
    except ValueError as cause:
        raise ProfileError(f"{what}: not a valid profile file: {cause}; make the file again") from cause
    values = {field.name: getattr(record, field.name) for field in fields(Profile)}
    return Profile(**{**values, "shards": steps})


def read_profile(path: Path) -> Profile:
    """The profile that a file holds. Raises ProfileError where it is missing or malformed."""
    try:
        data = read_bounded(path)
    except OSError as cause:
        raise ProfileError(f"{path}: {cause.strerror or cause}") from cause
    return profile_from_json(data, what=str(path))


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile so that ``path`` is either as it was or complete. Raises OSError."""
    write_whole(path, profile_json(profile))

"""Profiles that were measured before, by model, options and machine."""

import hashlib
from pathlib import Path

from mopar.files import cache_directory, from_json, read_bounded, to_json, write_whole
from mopar.types import Profile, ProfileError

_MEASURING = 6
"""Raised where the same model would now be found to need other time or memory: what was kept before will not do."""


def profile_key(facts: object) -> str:
    """A file name's worth of digest of whatever a profile depends on (dataclasses or plain data)."""
    return hashlib.sha256(to_json([_MEASURING, facts])).hexdigest()[:32]


def cached_profile(key: str) -> Profile | None:
    """The profile kept under ``key``; None where there is none, or one that this version cannot read."""
    path = _path(key)
    try:
        data = read_bounded(path)
    except OSError:
        return None
    try:
        return from_json(data, Profile, what=str(path), error=ProfileError)
    except ProfileError:
        return None


def keep_profile(key: str, profile: Profile) -> None:
    """Keep a profile; a cache that cannot be written is none."""
    try:
        write_whole(_path(key), to_json(profile))
    except OSError:
        return


def _path(key: str) -> Path:
    return cache_directory() / "profiles" / f"{key}.json"

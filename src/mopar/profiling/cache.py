"""Profiles that were measured before, by model, request, options and machine."""

import hashlib
from pathlib import Path

from mopar.engine.timing.job import RunBudget
from mopar.files import cache_directory, to_json
from mopar.graph import Model
from mopar.machine import machine_facts
from mopar.profiling.document import read_profile, write_profile
from mopar.profiling.machine_load import busy_now, is_busy
from mopar.profiling.profile_request import ProfileRequest
from mopar.types import EngineOptions, Profile, ProfileError
from mopar.types.profile import PROFILE_SCHEMA

_MEASURING = 7
"""Raised where the same model would now be found to need other time or memory: what was kept before will not do."""


def cache_key(facts: object) -> str:
    """A file name for what was measured: a digest of all that it depends on (dataclasses or plain data)."""
    return hashlib.sha256(to_json([_MEASURING, facts])).hexdigest()[:32]


def key_of(model: Model, request: ProfileRequest, budget: RunBudget, options: EngineOptions) -> str:
    """What the profile of a model on this machine is kept under."""
    identity = (model.name, model.sha256, model.graph_sha256)
    asked = (request.recipes, request.sizes.ranges, request.given_sha256)
    return cache_key([PROFILE_SCHEMA, *identity, *asked, budget, options, machine_facts()])


def kept_profile(key: str) -> Profile | None:
    """The profile kept under ``key``.

    None where there is none, where this version cannot read it, and where the machine was busy when it was measured
    and is not any more.
    """
    try:
        found = read_profile(_path(key))
    except ProfileError:
        return None
    return None if is_busy(found.load) and not busy_now() else found


def keep_profile(key: str, profile: Profile) -> None:
    """Keep a profile; a cache that cannot be written is none."""
    try:
        write_profile(_path(key), profile)
    except OSError:
        return


def _path(key: str) -> Path:
    return cache_directory() / "profiles" / f"{key}.json"

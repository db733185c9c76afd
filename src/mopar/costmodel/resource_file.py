"""A resource model as its file has it, and whether what a file holds can be used."""

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mopar.costmodel.resource_model import FALLBACK, Family, ResourceModel
from mopar.files import from_json, read_bounded
from mopar.types import ProfileError


def encoded(model: ResourceModel) -> bytes:
    """A model as JSON, on one line: a file of numbers that nobody reads."""
    return msgspec.json.encode(model) + b"\n"


def read_resources(path: Path) -> ResourceModel:
    """A resource model from its file.

    Raises:
        ProfileError: it is missing, damaged, or of another version.
    """
    try:
        data = read_bounded(path)
    except OSError as cause:
        raise ProfileError(f"{path}: {cause.strerror or cause}") from cause
    model = from_json(data, ResourceModel, what=str(path), error=ProfileError)
    check_resources(model, str(path))
    return model


def check_resources(model: ResourceModel, what: str) -> None:
    """See that a model's numbers can be used. Raises ProfileError naming ``what``."""
    families: Mapping[str, Family] = model.families
    if FALLBACK not in families:
        raise ProfileError(f"{what}: no family {FALLBACK!r}; run mopar calibrate again")
    for name, family in families.items():
        rates = (family.flops_per_ms, family.bytes_per_ms, family.fixed_ms)
        if not all(math.isfinite(rate) and rate > 0 for rate in rates):
            raise ProfileError(f"{what}: family {name}: rates of {rates}; run mopar calibrate again")
        for forest in (family.behind, family.two_threads):
            try:
                forest.check(family.features)
            except ValueError as cause:
                raise ProfileError(f"{what}: family {name}: {cause}; run mopar calibrate again") from cause

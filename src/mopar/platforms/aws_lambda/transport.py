"""Calls of functions on Lambda, or on emulators of it: the transport's parts for one deployment."""

from collections.abc import Mapping, Sequence

from mopar.platforms.aws_lambda.service import EmulatorWire, Invoking, ServiceWire
from mopar.platforms.endpoints import AwsPlace
from mopar.platforms.request_codes import PlanCodes
from mopar.types import UsageError


def lambda_wire(
    functions: Mapping[str, Sequence[str]], place: AwsPlace, codes: PlanCodes, *, pointers: bool = False
) -> Invoking:
    """What the functions of a deployment speak.

    Args:
        functions: function -> its name or ARN, or URLs of emulators.
        place: where they are.
        codes: which tensors are sent encoded, and which leave the functions.
        pointers: whether stored outputs are named, and stay where they are; otherwise they are got and deleted.

    Raises:
        UsageError: some are emulators and others are not, or no region is named.
    """
    emulated = {is_emulator(place) for places in functions.values() for place in places}
    if len(emulated) > 1:
        raise UsageError("functions on Lambda and emulators do not go together: name URLs for all, or for none")
    if emulated == {True} and not place.bucket:
        return EmulatorWire(None, codes, pointers=pointers)
    from mopar.platforms.aws_lambda.credentials import OwnCredentials  # digests and signatures: emulators do without
    from mopar.platforms.aws_lambda.signed import Signer, lambda_address, region_of
    from mopar.platforms.aws_lambda.tensors import TensorStore

    credentials, region = OwnCredentials(place.profile), region_of(place.region)
    store = TensorStore(place, region, credentials) if place.bucket else None
    if emulated == {True}:
        return EmulatorWire(store, codes, pointers=pointers)
    return ServiceWire(lambda_address(region), Signer("lambda", region, credentials), store, codes, pointers=pointers)


def is_emulator(place: str) -> bool:
    """Whether a function is called at a URL, and not by its name."""
    return "://" in place

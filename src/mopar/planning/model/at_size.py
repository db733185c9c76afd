"""A profile at other input sizes: limits on memory and payload hold for the largest sizes of the range."""

from dataclasses import replace

from mopar.types import PartProfile, Profile, ShardStep, SizePoint


def at_largest(profile: Profile) -> Profile:
    """The profile with the bytes of tensors and layers at the largest sizes of the range; times stay."""
    return profile if profile.largest is None else _with_bytes(profile, profile.largest)


def beyond_range(profile: Profile) -> Profile | None:
    """The profile with the bytes of larger requests than measured, where no range is stated; None where not known.

    Memory of parts is assumed to grow like the largest active bytes of the layers of their step.
    """
    if profile.beyond is None:
        return None
    grown = _with_bytes(profile, profile.beyond)
    return replace(grown, shards=tuple(_grown_step(profile, grown, step) for step in profile.shards))


def _with_bytes(profile: Profile, size: SizePoint) -> Profile:
    """Shapes of tensors stay those of the measured point: what parts split has the same size throughout."""
    tensors = zip(profile.tensors, size.tensor_bytes, strict=True)
    layers = zip(profile.layers, size.layer_bytes, strict=True)
    return replace(
        profile,
        tensors=tuple(replace(tensor, bytes=held) for tensor, held in tensors),
        layers=tuple(replace(layer, activation_bytes=held, workspace_bytes=0) for layer, held in layers),
    )


def _grown_step(profile: Profile, grown: Profile, step: ShardStep) -> ShardStep:
    before, after = (
        max(one.activation_bytes + one.workspace_bytes for one in some.layers[step.start : step.stop])
        for some in (profile, grown)
    )
    factor = after / before if before > 0 else 1.0

    def part(held: PartProfile) -> PartProfile:
        return replace(held, activation_bytes=round(held.activation_bytes * factor))

    return replace(step, parts=tuple(map(part, step.parts)))

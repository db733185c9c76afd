"""The form of a graph: the inputs that it assembles itself, independent of which calls make them."""

from dataclasses import dataclass

from mopar.types import Region, Share


@dataclass(frozen=True, slots=True)
class FormSource:
    """One of the tensors that an input is made of.

    Attributes:
        region: that is read of what a call produces; None for all of it.
        encoded: what the call produces, where it is sent encoded; None where it is sent as it is.
    """

    region: Region | None
    encoded: Share | None


@dataclass(frozen=True, slots=True)
class FormInput:
    """An input that a graph assembles; ``tensor``, ``combine`` and ``axis`` as in ``CallInput``."""

    tensor: str
    sources: tuple[FormSource, ...]
    combine: str
    axis: int | None


Form = tuple[FormInput, ...]

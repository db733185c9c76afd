"""What functions speak over HTTP: a Protocol with one implementation for each kind of function."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mopar.bundle.call_plans import CallPlan, CallShapes, Made
from mopar.bundle.call_shapes import Shape
from mopar.platforms.http.address import Address
from mopar.platforms.http.connection import Reply
from mopar.types import TensorValue

Parts = Sequence[bytes | memoryview]
"""A body, in parts that are not copied."""
Claim = Callable[[int], None]
"""Counts bytes that a request takes of this machine's memory; below 0, that it gives back. Raises where there are none
left. Called on the event loop alone."""


class LaterError(Exception):
    """The function cannot be reached, or is busy: the call may be tried again. Nothing has run."""


class LostError(Exception):
    """The function, or the way to it, was lost during the call. The text follows the function's name and address.

    Args:
        text: what happened.
        starved: whether the function had too little memory.
    """

    def __init__(self, text: str, *, starved: bool = False) -> None:
        super().__init__(text)
        self.starved = starved


class SlowError(Exception):
    """The function's platform ended the call because it took too long."""


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What a call made.

    Attributes:
        shapes: of its outputs, in the graph's order.
        values: those outputs whose data are on this machine.
        held_ns, compute_ns: what it took inside the function, and inside the engine.
    """

    shapes: tuple[Shape, ...]
    values: tuple[TensorValue, ...]
    held_ns: int
    compute_ns: int


class CallWire(Protocol):
    """Writes and reads the calls of one request."""

    async def written(self, plan: CallPlan, values: Mapping[Made, TensorValue], deadline: float) -> Parts:
        """The body of a call.

        Args:
            plan: the call.
            values: the request's tensors whose data are on this machine.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            RequestError: the function takes no message of this size.
            OverloadedError: there was no time left to encode a tensor, or no memory.
            DeploymentError: a tensor cannot be sent.
        """

    def most_bytes(self, plan: CallPlan, shapes: CallShapes) -> int | None:
        """The most bytes that a call's answer may have; None where that is not known before the run."""

    async def read(self, plan: CallPlan, shapes: CallShapes, reply: Reply, deadline: float) -> CallAnswer:
        """What is in an answer.

        Raises:
            MalformedError: it does not fit the graph's outputs.
            OverloadedError: there was no time left to decode a tensor, or no memory.
            RequestError, OutOfMemoryError, DeploymentError: it is an error of the function's.
        """

    async def check_sent(self, plan: CallPlan, deadline: float) -> None:
        """Of a call that failed: raise DeploymentError where what it was sent was damaged by who made it."""

    def close(self) -> None:
        """Release what the request has elsewhere."""


class Wire(Protocol):
    """What the functions of a transport speak."""

    @property
    def most_unannounced_bytes(self) -> int:
        """Largest answer that does not say its size beforehand; 0 where each must."""

    def address(self, place: str) -> Address:
        """Where a function is called; ``place`` is what names it. Raises UsageError where it names none."""

    def head(self, address: Address, graph: str, parts: Parts) -> bytes:
        """The head of a request, made anew each time that it is sent. Raises DeploymentError."""

    def judge(self, function: str, reply: Reply) -> None:
        """Raise where an answer has no outputs.

        Raises:
            LaterError: the function is busy.
            LostError: it was lost during the call.
            SlowError: the call took too long.
            RequestError: it refused the inputs.
            DeploymentError: it failed; the text lacks its name.
        """

    def open(self, claim: Claim) -> CallWire:
        """For the calls of one request; ``claim`` counts what is kept for it."""

    async def close(self) -> None:
        """Release what is kept for later requests. All requests are closed."""

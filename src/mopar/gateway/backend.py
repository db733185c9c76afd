"""What a server stands in front of: something that answers requests for one model."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mopar.types import TensorSpec, TensorValue


class Answer(Protocol):
    """A request's outputs. They stay valid until its context ends: the reply is written inside it."""

    @property
    def outputs(self) -> Sequence[TensorValue]:
        """Values whose data are views into memory that the context holds; strings in BYTES form."""

    @property
    def server_timing(self) -> str:
        """Where the time went, as an HTTP ``Server-Timing`` header; empty to send none."""


class Backend(Protocol):
    """A model that can be asked. ``name``, ``inputs`` and ``outputs`` do not change while it serves."""

    @property
    def name(self) -> str:
        """The model's name in the protocol's paths."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a request must bring, symbolic dimensions kept."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What an answer can hold, symbolic dimensions kept."""

    def ready(self) -> bool:
        """Whether a request that comes now can be answered without waiting for a start."""

    def infer(
        self, inputs: Mapping[str, TensorValue], outputs: Sequence[str] | None, deadline_s: float
    ) -> AbstractAsyncContextManager[Answer]:
        """Run one request.

        The context may be cancelled at any await: a client that went away no longer waits.

        Args:
            inputs: one value for each of ``self.inputs``, checked against its spec; their data are valid
                until the context ends.
            outputs: names to answer with, in this order; None for all.
            deadline_s: seconds from now until which an answer is worth having.

        Raises:
            RequestError: the request cannot be answered as it is.
            OverloadedError: the queue is full or the deadline passed.
            DeploymentError: the deployment failed it.
        """

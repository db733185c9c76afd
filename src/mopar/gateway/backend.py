"""The Protocol of what answers requests for one model, as the HTTP server uses it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Protocol

from mopar.segments import Place
from mopar.types import TensorSpec, TensorValue

NOWHERE: Mapping[str, Place] = MappingProxyType({})


class Answer(Protocol):
    """A request's outputs, valid until the context of ``Backend.infer`` ends; the response is sent inside it."""

    @property
    def outputs(self) -> Sequence[TensorValue]:
        """Values whose data are views into memory that the context holds; strings in BYTES form."""

    @property
    def server_timing(self) -> str:
        """The times of the request's calls, as an HTTP ``Server-Timing`` header; empty to send none."""


class Backend(Protocol):
    """A model that answers requests. ``name``, ``inputs`` and ``outputs`` do not change while it is served."""

    @property
    def name(self) -> str:
        """The model's name in the protocol's paths."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that a request must have; dimensions may be symbolic."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that an answer can have; dimensions may be symbolic."""

    @property
    def parameters(self) -> Mapping[str, str | float]:
        """What a client should know of the model beside its tensors, in its metadata; empty for nothing."""

    @property
    def maps_clients_memory(self) -> bool:
        """Whether inputs may be, and outputs be put, in memory that a client shares."""

    def ready(self) -> bool:
        """Whether a request can be answered now, without waiting for a function to start."""

    def infer(
        self,
        inputs: Mapping[str, TensorValue],
        outputs: Sequence[str] | None,
        deadline_s: float,
        homes: Mapping[str, Place] = NOWHERE,
    ) -> AbstractAsyncContextManager[Answer]:
        """Run one request.

        The context may be cancelled at any await, as happens when the client disconnects.

        Args:
            inputs: one value for each of ``self.inputs``, checked against its spec; their data are valid
                until the context ends.
            outputs: names of the outputs to return, in this order; None for all.
            deadline_s: time for the answer, in seconds from now.
            homes: output -> place in the client's memory; an output that was made there has the place in its value.
                Only where ``maps_clients_memory``; none overlaps another or an input.

        Raises:
            RequestError: the request cannot be answered as it is.
            OverloadedError: the queue is full or the deadline passed.
            DeploymentError: the deployment failed it.
        """

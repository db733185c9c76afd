"""Which tensors of a request are sent encoded, and their codes, which the gateway passes on as functions made them.

It encodes what it sends first, a request's inputs, and decodes what leaves the functions: the model's outputs.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar, TypeVarTuple

from mopar.bundle.call_plans import CallPlan, Made
from mopar.bundle.call_shapes import region_value
from mopar.bundle.sent_codecs import code_ratios, sent_codecs
from mopar.platforms.codes import EncodedValue, check_intact, decoded, encoded, lossless
from mopar.platforms.outputs import MalformedError
from mopar.platforms.turns import Turns
from mopar.runtime.lossless import Lossless
from mopar.types import REQUEST, DeploymentError, Manifest, OverloadedError, Region, TensorSpec, TensorValue

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")
_NO_RATIOS: Mapping[str, float] = MappingProxyType({})
_INLINE_BYTES = 256 << 10
"""More are encoded and decoded in a thread beside the event loop: beginning and ending there takes 0.1 to 0.2 ms."""


class PlanCodes:
    """Which tensors of a plan are sent encoded; one for all requests of a transport.

    Args:
        codecs: tensor, or code that a graph makes -> text of the codec that messages carry it with.
        outputs: tensors that leave the functions.
        inputs: tensors that no function makes.
        ratios: the same -> most bytes of its code per byte; 1 where it is not in it.

    Raises:
        PlatformError: the gateway has to encode or decode some, and lacks the library.
    """

    def __init__(
        self,
        codecs: Mapping[str, str],
        outputs: frozenset[Made],
        inputs: frozenset[str] = frozenset(),
        ratios: Mapping[str, float] = _NO_RATIOS,
    ) -> None:
        self.codecs = codecs
        self.outputs = outputs
        self._ratios = ratios
        self._turns = Turns("what encodes and decodes tensors", len(os.sched_getaffinity(0)))
        if codecs.keys() & {*inputs, *(name for name, _ in outputs)}:
            lossless()

    @classmethod
    def of(cls, manifest: Manifest) -> "PlanCodes":
        """Of a bundle's plan."""
        inputs = frozenset(spec.name for spec in manifest.inputs)
        plan, codes = manifest.plan, manifest.codes
        return cls(sent_codecs(plan, codes), frozenset(plan.outputs), inputs, code_ratios(plan, codes))

    def most_bytes(self, tensor: str, nbytes: int) -> int:
        """Of the code of a tensor of so many bytes."""
        return Lossless.most_bytes(nbytes, self._ratios.get(tensor, 1.0))

    async def beside(
        self, nbytes: int, deadline: float, function: Callable[[*_Arguments], _Result], *args: *_Arguments
    ) -> _Result:
        """Call a function that takes time for each byte: here, or in a thread, of which there are as many as cores.

        Args:
            nbytes: that it takes time for.
            deadline: on the clock of ``time.monotonic``, at which it is not begun any more.
            function: what is called.
            args: of it.

        Raises:
            OverloadedError: the deadline has passed.
        """

        def begun() -> _Result:
            if time.monotonic() >= deadline:
                raise OverloadedError("there was no time left to encode or decode a tensor")
            return function(*args)

        if nbytes <= _INLINE_BYTES:
            return begun()
        async with self._turns.take(deadline):
            return await asyncio.to_thread(begun)


NO_CODES = PlanCodes({}, frozenset())


class RequestCodes:
    """The codes of one request's tensors.

    Args:
        plan: says which tensors have one.
        claim: counts what is kept here; called on the event loop alone.
    """

    def __init__(self, plan: PlanCodes, claim: Callable[[int], None]) -> None:
        self._plan = plan
        self._claim = claim
        self._codes: dict[Made, EncodedValue] = {}
        self._decoded: dict[Made, TensorValue] = {}
        self._left_raw: set[Made] = set()
        self._working = asyncio.Lock()

    def texts(self, plan: CallPlan) -> dict[str, str | None]:
        """The codecs of a call's outputs; None for those that are sent as they are."""
        return {spec.name: self._plan.codecs.get(spec.name) for spec in plan.graph.outputs}

    async def keep(self, made: Made, value: EncodedValue, deadline: float) -> TensorValue | None:
        """Keep what a function has encoded; returns it decoded where it leaves the functions.

        Raises:
            MalformedError: it is damaged, and leaves the functions; another is checked by who reads it.
            OverloadedError: the deadline has passed.
        """
        self._codes[made] = value
        return await self._decode(made, deadline) if made in self._plan.outputs else None

    async def check_sent(self, sources: Sequence[Made], deadline: float) -> None:
        """Find whose fault it is where a call failed: that of a function whose code was damaged when it arrived here.

        Args:
            sources: what the call read.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            DeploymentError: the code of one is damaged.
        """
        for made in sources:
            if made in self._codes:
                with _blaming(made), contextlib.suppress(OverloadedError):
                    await self._plan.beside(len(self._codes[made].data), deadline, check_intact, self._codes[made])

    async def _code(self, made: Made, values: Mapping[Made, TensorValue], deadline: float) -> EncodedValue | None:
        """The code of a tensor; None where it is sent as it is."""
        text = self._plan.codecs.get(made[0])
        if text is None:
            return None
        if made[1] == REQUEST and made not in self._codes:
            async with self._working:
                if made not in self._codes and made not in self._left_raw:
                    found = await self._encode(values[made], text, deadline)
                    if found is None:
                        self._left_raw.add(made)
                    else:
                        self._codes[made] = found
        return self._codes.get(made)

    async def _encode(self, value: TensorValue, text: str, deadline: float) -> EncodedValue | None:
        """Memory for a code is claimed as large as it may become, and given back as far as it did not."""
        most_bytes, kept_bytes = self._plan.most_bytes(value.name, value.nbytes), 0
        self._claim(most_bytes)
        try:
            found = await self._plan.beside(value.nbytes, deadline, encoded, value, text, most_bytes)
            kept_bytes = 0 if found is None else len(found.data)
            return found
        finally:
            self._claim(kept_bytes - most_bytes)

    async def sent(
        self,
        spec: TensorSpec,
        made: Made,
        region: Region | None,
        values: Mapping[Made, TensorValue],
        deadline: float,
    ) -> TensorValue | EncodedValue:
        """What a call reads under the name that its graph has for it: the code where there is one, else a view.

        Args:
            spec: of the graph's input.
            made: the tensor.
            region: that is read of it; None for all of it, since of a code no region can be sent.
            values: the request's tensors that are here as they are.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            DeploymentError: its code is damaged.
            OverloadedError: the deadline has passed.
        """
        code = await self._code(made, values, deadline) if region is None else None
        if code is not None:
            return replace(code, name=spec.name)
        value = await self.raw(made, values, deadline)
        return region_value(TensorValue(spec.name, spec.dtype, value.shape, value.data), region)

    async def raw(self, made: Made, values: Mapping[Made, TensorValue], deadline: float) -> TensorValue:
        """A tensor as it is. Raises as ``sent``."""
        with _blaming(made):
            return values[made] if made in values else await self._decode(made, deadline)

    async def _decode(self, made: Made, deadline: float) -> TensorValue:
        """A tensor of which the code is here. Raises MalformedError where it is damaged."""
        async with self._working:
            if made not in self._decoded:
                value = self._codes[made]
                self._claim(value.nbytes)
                self._decoded[made] = await self._plan.beside(value.nbytes, deadline, decoded, value)
        return self._decoded[made]


@contextlib.contextmanager
def _blaming(made: Made) -> Iterator[None]:
    """Say which call made what is damaged."""
    try:
        yield
    except MalformedError as cause:
        raise DeploymentError(f"what call {made[1]} made cannot be used: {cause}") from cause

"""Which tensors of a request are sent encoded, and their codes, which the gateway passes on as functions made them.

It encodes what it sends first, a request's inputs, and decodes what leaves the functions: the model's outputs.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ParamSpec, TypeVar

from mopar.bundle.call_plans import Made
from mopar.bundle.call_shapes import region_value
from mopar.bundle.sent_codecs import sent_codecs
from mopar.platforms.codes import EncodedValue, decoded, encoded, lossless
from mopar.platforms.outputs import MalformedError
from mopar.types import REQUEST, DeploymentError, Manifest, Region, TensorSpec, TensorValue

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_INLINE_BYTES = 64 << 10
"""More are encoded and decoded in a thread beside the event loop."""


class PlanCodes:
    """Which tensors of a plan are sent encoded.

    Args:
        codecs: tensor -> text of its codec.
        outputs: tensors that leave the functions.
        inputs: tensors that no function makes.

    Raises:
        PlatformError: the gateway has to encode or decode some, and lacks the library.
    """

    def __init__(
        self, codecs: Mapping[str, str], outputs: frozenset[Made], inputs: frozenset[str] = frozenset()
    ) -> None:
        self.codecs = codecs
        self.outputs = outputs
        if codecs.keys() & {*inputs, *(name for name, _ in outputs)}:
            lossless()

    @classmethod
    def of(cls, manifest: Manifest) -> "PlanCodes":
        """Of a bundle's plan."""
        inputs = frozenset(spec.name for spec in manifest.inputs)
        return cls(sent_codecs(manifest.plan), frozenset(manifest.plan.outputs), inputs)


NO_CODES = PlanCodes({}, frozenset())


class RequestCodes:
    """The codes of one request's tensors.

    Args:
        plan: says which tensors have one.
        claim: counts what is kept here.
    """

    def __init__(self, plan: PlanCodes, claim: Callable[[int], None]) -> None:
        self._plan = plan
        self._claim = claim
        self._codes: dict[Made, EncodedValue] = {}
        self._decoded: dict[Made, TensorValue] = {}
        self._left_raw: set[Made] = set()
        self._working = asyncio.Lock()

    def text(self, tensor: str) -> str | None:
        """The codec of a tensor; None where it is sent as it is."""
        return self._plan.codecs.get(tensor)

    async def keep(self, made: Made, value: EncodedValue) -> TensorValue | None:
        """Keep what a function has encoded; returns it decoded where it leaves the functions.

        Raises:
            MalformedError: it is damaged.
        """
        self._codes[made] = value
        return await self.decoded(made) if made in self._plan.outputs else None

    async def code(self, made: Made, values: Mapping[Made, TensorValue]) -> EncodedValue | None:
        """The code of a tensor; None where it is sent as it is."""
        text = self._plan.codecs.get(made[0])
        if text is None:
            return None
        if made[1] == REQUEST and made not in self._codes:
            async with self._working:
                if made not in self._codes and made not in self._left_raw:
                    found = await _beside(values[made].nbytes, encoded, values[made], text, self._claim)
                    if found is None:
                        self._left_raw.add(made)
                    else:
                        self._codes[made] = found
        return self._codes.get(made)

    async def sent(
        self, spec: TensorSpec, made: Made, region: Region | None, values: Mapping[Made, TensorValue]
    ) -> TensorValue | EncodedValue:
        """What a call reads under the name that its graph has for it: the code where there is one, else a view.

        Args:
            spec: of the graph's input.
            made: the tensor.
            region: that is read of it; None for all of it, since of a code no region can be sent.
            values: the request's tensors that are here as they are.
        """
        code = await self.code(made, values) if region is None else None
        if code is not None:
            return replace(code, name=spec.name)
        value = await self.raw(made, values)
        return region_value(TensorValue(spec.name, spec.dtype, value.shape, value.data), region)

    async def raw(self, made: Made, values: Mapping[Made, TensorValue]) -> TensorValue:
        """A tensor as it is. Raises DeploymentError where its code is damaged."""
        try:
            return values[made] if made in values else await self.decoded(made)
        except MalformedError as cause:
            raise DeploymentError(f"what call {made[1]} made cannot be used: {cause}") from cause

    async def decoded(self, made: Made) -> TensorValue:
        """A tensor of which the code is here. Raises MalformedError where it is damaged."""
        async with self._working:
            if made not in self._decoded:
                value = self._codes[made]
                self._claim(value.nbytes)
                self._decoded[made] = await _beside(value.nbytes, decoded, value)
        return self._decoded[made]


async def _beside(
    nbytes: int, function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Call a function that takes time for each byte: here, or in a thread."""
    if nbytes <= _INLINE_BYTES:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)

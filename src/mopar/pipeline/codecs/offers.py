"""What codecs could do for each tensor of a model, and how they are fitted."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mopar.codecs import CompressedCodec, Fitted, TrainedCodec, code_bytes, codec_names, codec_of
from mopar.gateway.arrays import Array
from mopar.graph import Layer, Model, tensor_shapes
from mopar.measurement.codec_costs import CodecCosts
from mopar.pipeline.codecs.calibration import Request
from mopar.pipeline.codecs.compressed import compressed
from mopar.pipeline.codecs.engine import SAMPLE_BYTES, tensor_values
from mopar.pipeline.codecs.messages import SAMPLE_REQUESTS, MessageCodecs
from mopar.profiling import Progress
from mopar.runtime.variants import VARIANTS
from mopar.types import Profile, TensorCoding, TensorSpec, graph_text, with_messages

_MIB = 1 << 20
_GLANCE_BYTES = 16 << 20
"""Of the values of one tensor that show which codecs apply to it."""

_IN_NUMPY = frozenset({"bool", "float16", "float32", "float64"}) | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}
"""Types whose values can be had from the engine here."""

Wanted = Callable[[str, str], bool]
"""Whether a tensor may be sent with the codec of some text."""
_Known = tuple[CodecCosts, MessageCodecs | None]
"""What codecs of graphs take, and what measures those of messages."""


class Boundary:
    """The tensors of a model that may be sent encoded.

    By graphs those are floats that layers make, and only layers read, by codecs whose operators the model's version
    has; by messages any that are no strings.

    Args:
        model: they are of.
        layers: of the model.
        profile: of the model.
        requests: of real inputs.
    """

    def __init__(self, model: Model, layers: Sequence[Layer], profile: Profile, requests: Sequence[Request]) -> None:
        self._model, self._layers, self._requests = model, layers, requests
        outputs = {spec.name for spec in profile.outputs}
        self._tensors = {
            tensor.name: tensor
            for tensor in profile.tensors
            if tensor.producer >= 0 and tensor.dtype == "float32" and tensor.name not in outputs and tensor.bytes
        }
        self._sent = {
            tensor.name: tensor
            for tensor in profile.tensors
            if tensor.consumers and tensor.bytes and tensor.dtype in _IN_NUMPY
        }
        self._specs = tensor_shapes(model)
        self._opset = model.ir.graph.opset_imports.get("", 1)
        self._fitted: dict[tuple[str, str], Fitted] = {}

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each, at the profile's point."""
        return {name: tensor.bytes for name, tensor in self._tensors.items()}

    @property
    def names(self) -> frozenset[str]:
        """The tensors that some codec may apply to."""
        return frozenset(self._tensors.keys() | self._sent.keys())

    def offers(
        self, costs: CodecCosts, wanted: Wanted, messages: MessageCodecs | None = None
    ) -> dict[str, list[TensorCoding]]:
        """What each wanted codec of graphs would do for each tensor.

        Args:
            costs: of the codecs.
            wanted: says which.
            messages: measures what compresses codes; without it, codecs are left out that need that.
        """
        return {
            name: [
                coding
                for codec in codec_names()
                for coding in self._codings(name, codec, samples, (costs, messages), wanted)
            ]
            for name, samples in self._values(self._tensors, _GLANCE_BYTES)
        }

    def message_offers(self, codecs: MessageCodecs, wanted: Wanted) -> dict[str, list[TensorCoding]]:
        """What each wanted codec of messages would do for each tensor, the model's own inputs and outputs included."""
        requests = self._requests[:SAMPLE_REQUESTS]
        texts = {name: [text for text in VARIANTS if wanted(name, text)] for name in self._sent}
        sent = {name: tensor for name, tensor in self._sent.items() if texts[name]}
        made = {name: tensor.bytes for name, tensor in sent.items() if tensor.producer >= 0}
        found = {name: [request[name] for request in requests] for name in sent.keys() - made.keys()}
        values = itertools.chain(found.items(), tensor_values(self._model, self._layers, made, requests, SAMPLE_BYTES))
        return {name: list(codecs.codings(samples, texts[name])) for name, samples in values}

    def fit(self, codecs: Mapping[str, str], progress: Progress = lambda _stage, _share: None) -> dict[str, Fitted]:
        """Fit each tensor's codec; what was fitted before is kept. Calls ``progress`` for what has to be trained."""
        texts = {name: graph_text(text) for name, text in codecs.items()}
        new = [name for name, text in texts.items() if (name, text) not in self._fitted]
        for name, samples in self._values(new):
            self._fit(name, texts[name], samples, progress)
        return {name: self._fitted[name, text] for name, text in texts.items()}

    def fitting(self, name: str, progress: Progress) -> Callable[[str], Fitted]:
        """What fits codecs to one tensor, whose values are held for as long."""
        ((_, samples),) = self._values([name])
        return lambda text: self._fit(name, graph_text(text), samples, progress)

    def _fit(self, name: str, text: str, samples: Sequence[Array], progress: Progress) -> Fitted:
        if (name, text) not in self._fitted:
            codec = codec_of(text)
            if isinstance(codec, TrainedCodec):
                progress(f"training {text} for {name}", None)
            self._fitted[name, text] = codec.fit(text, self._specs[name], samples)
        return self._fitted[name, text]

    def _values(self, names: Iterable[str], most_bytes: int = SAMPLE_BYTES) -> Iterator[tuple[str, list[Array]]]:
        sizes = {name: self._tensors[name].bytes for name in names}
        return tensor_values(self._model, self._layers, sizes, self._requests, most_bytes)

    def _codings(
        self, name: str, codec_name: str, samples: Sequence[Array], known: _Known, wanted: Wanted
    ) -> Iterator[TensorCoding]:
        """What a codec would do for a tensor, with each parameter that it offers."""
        tensor, spec, codec, (costs, messages) = self._tensors[name], self._specs[name], codec_of(codec_name), known
        by = codec.compressed_by if isinstance(codec, CompressedCodec) else ("",)
        if codec.least_opset > self._opset or (messages is None and any(by)):
            return
        offered = {text: [one for one in by if wanted(name, with_messages(text, one))]
                   for text in codec.offers(spec, samples)}  # fmt: skip
        texts = [text for text, ways in offered.items() if ways]
        if not texts:
            return
        sized = TensorSpec(name, tensor.dtype, tensor.shape)
        unfitted = codec.unfitted(texts[0], spec, samples)
        for text in texts:
            sent = code_bytes(codec.codes(replace(unfitted, text=text), sized))
            encode_ms, decode_ms = costs.of(text, len(tensor.shape), tensor.bytes)
            mib = tensor.bytes / _MIB
            axes = tuple(codec.share_axes(replace(unfitted, text=text)))
            plain = TensorCoding(text, sent / tensor.bytes, encode_ms / mib, decode_ms / mib, share_axes=axes)
            if messages is None or not any(by):
                yield plain
            else:
                few = samples[:SAMPLE_REQUESTS]
                yield from compressed(codec.fit(text, spec, few), plain, few, messages, offered[text])

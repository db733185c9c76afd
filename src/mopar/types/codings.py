"""What a codec does to a tensor that passes between functions, as the planner counts it.

Its text in a plan names one of graphs, one of messages, or, with a plus between, one of graphs and one of messages that
compresses its codes: ``int8``, ``blosc2:lz4-shuffle``, ``uniform:30+blosc2:zstd-shuffle``.
"""

from dataclasses import dataclass

from mopar.types.shards import Share

OBJECT_STORE = "object-store"
"""In place of a codec: a tensor that passes through a store of objects, since no message holds it."""
_PLUS = "+"


def with_messages(text: str, message: str) -> str:
    """The text of a codec of graphs whose codes one of messages compresses, if any does."""
    return f"{text}{_PLUS}{message}" if message else text


def graph_text(text: str) -> str:
    """A codec's text without what compresses its codes."""
    return text.partition(_PLUS)[0]


def code_text(text: str) -> str:
    """The text of the codec of messages that compresses the codes of one of graphs; empty where none does."""
    return text.partition(_PLUS)[2]


@dataclass(frozen=True, slots=True)
class TensorCoding:
    """A codec for one tensor, with what it was measured to save and to take.

    Attributes:
        text: as ``Plan.codecs`` has it, such as ``int8`` or ``linear:64``.
        ratio: bytes that are sent, per byte of the tensor.
        encode_ms_per_mib: CPU time of its producer, per MiB of the tensor.
        decode_ms_per_mib: CPU time of each function that reads it.
        most_ratio: bytes that are sent at most, per byte, which memory and limits on payloads are held to; None for
            ``ratio``, where that does not depend on values.
        library_mib: memory that a function holds for this codec and all others of its kind.
        by_gateway: whether the gateway can encode and decode too, so that it applies to the model's own inputs and
            outputs.
        read_ms_per_mib, made_ms_per_mib: latency beside that, of each call that reads the tensor, and of the call that
            makes it.
        share_axes: axes along which a share of the tensor can be encoded by itself; None for any.
        graph_ratio: bytes of codes that graphs make and messages compress, per byte of the tensor; 0 where they do not.
    """

    text: str
    ratio: float
    encode_ms_per_mib: float
    decode_ms_per_mib: float
    most_ratio: float | None = None
    library_mib: float = 0.0
    by_gateway: bool = False
    read_ms_per_mib: float = 0.0
    made_ms_per_mib: float = 0.0
    share_axes: tuple[int, ...] | None = None
    graph_ratio: float = 0.0

    @property
    def bound_ratio(self) -> float:
        """Bytes that are sent at most, per byte of the tensor."""
        return self.ratio if self.most_ratio is None else self.most_ratio

    @property
    def held_ratio(self) -> float:
        """Bytes of codes that a function holds at most, per byte of the tensor."""
        return self.bound_ratio + self.graph_ratio

    @property
    def most_code_ratio(self) -> float | None:
        """Bytes that are sent at most, per byte of what messages encode; None where they encode nothing."""
        return None if self.most_ratio is None else self.most_ratio / (self.graph_ratio or 1.0)

    def encodes(self, share: Share) -> bool:
        """Whether what a call produces of the tensor can be encoded; of summands the errors would add up."""
        return not share.summand and (share.axis is None or self.share_axes is None or share.axis in self.share_axes)

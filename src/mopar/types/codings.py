"""What a codec does to a tensor that passes between functions, as the planner counts it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorCoding:
    """A codec for one tensor, with what it was measured to save and to take.

    Attributes:
        text: as ``Plan.codecs`` has it, such as ``int8`` or ``linear:64``.
        ratio: bytes that are sent, per byte of the tensor.
        encode_ms_per_mib: CPU time of its producer, per MiB of the tensor.
        decode_ms_per_mib: CPU time of each function that reads it.
    """

    text: str
    ratio: float
    encode_ms_per_mib: float
    decode_ms_per_mib: float

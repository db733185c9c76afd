"""The codecs of messages by their texts, apart from what runs them: most functions have none."""

VARIANTS = {
    "blosc2:lz4-shuffle": (b"lz4", 5, 1),
    "blosc2:lz4-bitshuffle": (b"lz4", 5, 2),
    "blosc2:zstd-shuffle": (b"zstd", 1, 1),
    "blosc2:zstd-bitshuffle": (b"zstd", 1, 2),
}
"""Text of a codec -> compressor, level and filter. Higher levels of Zstd take ten times as long for a percent."""


class DamagedError(ValueError):
    """A code is none of its tensor."""

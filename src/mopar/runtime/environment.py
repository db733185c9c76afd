"""What the process of a function is started with."""

KEEPING, GLIBC = "keeping", "glibc"

_ALLOCATORS = {
    # The allocator keeps the pages of freed activations for the next call, which would fault them in again
    # (docs/decisions/worker-memory.md).
    KEEPING: {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"},
    # Its own thresholds, which return a large buffer as soon as it is freed: less memory where loading frees some.
    GLIBC: {},
}
ALLOCATORS = tuple(_ALLOCATORS)
"""What a function's allocator does with freed memory; the first is how built bundles run."""


def environment_of(allocator: str) -> dict[str, str]:
    """The environment of a function with one of ``ALLOCATORS``."""
    return {
        "LANG": "C.UTF-8",
        # One malloc arena: a worker allocates from one thread at a time.
        "MALLOC_ARENA_MAX": "1",
        **_ALLOCATORS[allocator],
        # Without it, ONNX Runtime from 1.29 on sends telemetry about every model (docs/decisions/engine-binding.md).
        "ORT_DISABLE_TELEMETRY": "1",
    }


ENVIRONMENT = environment_of(KEEPING)

"""What the process of a function is started with."""

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    # One malloc arena: a worker allocates from one thread at a time.
    "MALLOC_ARENA_MAX": "1",
    # The allocator keeps the pages of freed activations for the next call, which would fault them in again
    # (docs/decisions/worker-memory.md).
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    # Without it, ONNX Runtime from 1.29 on sends telemetry about every model (docs/decisions/engine-binding.md).
    "ORT_DISABLE_TELEMETRY": "1",
}

"""What the process of a function is started with."""

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    # One malloc arena: a worker allocates from one thread at a time.
    "MALLOC_ARENA_MAX": "1",
    # Freed activations stay for the next call. With glibc's own thresholds their pages go back to the kernel and
    # are faulted in anew by every run, which makes a slice of ResNet-50 20% slower; ONNX Runtime's arena or its
    # memory pattern would keep them too, but round up by up to 7 MiB.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    # Without it, ONNX Runtime from 1.29 on tells its makers about every model that it loads, which also costs
    # each function a thread and 2 MiB.
    "ORT_DISABLE_TELEMETRY": "1",
}

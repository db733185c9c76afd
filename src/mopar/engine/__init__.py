"""What is known of ONNX Runtime from outside: its kernels, its profiler's trace, its memory, and its packed files."""

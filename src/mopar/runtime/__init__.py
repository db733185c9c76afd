"""What runs inside a function: ONNX Runtime, shared memory and control frames.

What is imported here takes memory in every function, so it is the standard library alone, and of that not even
``dataclasses`` (1.6 MiB resident), ``socket`` or ``json`` (docs/decisions/engine-binding.md).
"""

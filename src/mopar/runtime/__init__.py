"""What runs inside a function: ONNX Runtime, shared memory and control frames.

Everything imported here lands in the memory of every function, so it is the standard library alone:
not even ``dataclasses`` (1.6 MiB resident), ``socket`` (1.1 MiB) or ``json`` (0.4 MiB) is imported.
"""

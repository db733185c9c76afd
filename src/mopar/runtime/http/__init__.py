"""A function's own HTTP server: the Open Inference Protocol v2 with binary tensors, on C modules of Python alone.

    python -m mopar.runtime.http FUNCTION.json [--host H] [--port P | --listener FD] [--with-parent]

``POST /v2/models/GRAPH/infer`` runs a graph; ``/v2/health/live``, ``/v2/health/ready``, ``/healthz``, ``/_/health`` and
``/_/ready`` are answered meanwhile too; ``GET /v2/models/GRAPH`` returns inputs and outputs. The form of the
configuration is in ``mopar.runtime.config``. The port is ``$PORT``, or 8080. SIGTERM ends it once the running request
is answered.

It parses heads itself, since imports take memory in every function: here ``json`` alone 1.1 MiB resident, ``socket``
1.1, h11 3.5 and ``http.server`` 8.9 MiB; the C modules below them, ``_json``, ``_socket`` and ``select``, 0.1 MiB
together. Those parsers also return a body in chunks, which have to be copied once more; this one receives tensors
directly to where the engine reads them. ``python -m benchmarks.http_doors`` measures them side by side.
"""

from mopar.runtime.http.start import main

__all__ = ["main"]

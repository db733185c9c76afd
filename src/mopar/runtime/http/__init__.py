"""A function's own HTTP door: the Open Inference Protocol v2 with binary tensors, on the standard library's C modules.

    python -m mopar.runtime.http FUNCTION.json [--host H] [--port P | --listener FD] [--with-parent]

``POST /v2/models/GRAPH/infer`` runs a graph; ``/v2/health/live``, ``/v2/health/ready``, ``/healthz`` and ``/_/health``
answer meanwhile too; ``GET /v2/models/GRAPH`` tells inputs and outputs. The configuration's form is in
``mopar.runtime.http.config``. The port is ``$PORT``, or 8080. SIGTERM ends it once the request on its way is answered.

Why a reader of heads of our own: every function holds what it imports. Here ``json`` alone is 1.1 MiB, ``socket`` 1.1,
h11 3.5 and ``http.server`` 8.9 MiB resident; ``_json``, ``_socket`` and ``select``, the modules of C below them, take
0.1 MiB together. The parsers also hand a body over as chunks of their own making, to be copied once more, where
this one reads tensors from the socket to where the engine reads them. ``python -m benchmarks.http_doors`` measures
them side by side.
"""

from mopar.runtime.http.start import main

__all__ = ["main"]

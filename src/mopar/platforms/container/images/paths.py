"""Where files are in an image."""

PYTHON_HOME = "/opt/python"
LIBRARIES = "/opt/mopar/lib"
"""Shared libraries of Python and of ONNX Runtime, which the loader finds by LD_LIBRARY_PATH."""
SOURCES = "/opt/mopar/src"
"""Folder of the package ``mopar``, and of what the gateway imports beside it."""
ENGINE = "/opt/mopar/engine/libonnxruntime.so.1"
CODECS = f"{SOURCES}/blosc2/lib/libblosc2.so"
"""Where the gateway finds it as it would in an installed package."""
FUNCTION = "/opt/mopar/function"
CONFIG = f"{FUNCTION}/function.json"
GATEWAY = "/opt/mopar/gateway"
JOB = f"{GATEWAY}/job.json"
ENDPOINTS = f"{GATEWAY}/functions.json"
SOCKETS = "/run/mopar"
"""Where the volume of sockets is mounted."""
SECRETS = "/run/mopar-secrets"
TOKEN = f"{SECRETS}/token"
USER = 65532
"""Neither root nor a user of the machine."""
PORT = 8080


def socket_path(function: str) -> str:
    """A function's socket."""
    return f"{SOCKETS}/{function}.sock"

"""One root error; one subclass per thing that a caller can act on.

Messages are one line: they name the node, slice, file or platform, and say what would do.
"""


class MoparError(Exception):
    """The root of every error that a user's input or environment can cause."""


class UsageError(MoparError):
    """A command or call was used wrongly: an option, a combination, a missing argument."""


class ModelError(MoparError):
    """The model file cannot be read, is not valid, or cannot be run by ONNX Runtime."""


class InputError(MoparError):
    """Sample inputs are missing, or their names, dtypes or shapes do not fit the model."""


class ProfileError(MoparError):
    """A profile file is not valid, or belongs to another model."""


class BundleError(MoparError):
    """A bundle is incomplete, was altered, or does not match its model or machine."""


class EngineError(MoparError):
    """ONNX Runtime refused to load or to run a graph."""


class StorageError(MoparError):
    """A file or folder cannot be read or written: no room, no permission, a disk that fails."""


class PlatformError(MoparError):
    """A platform refused or failed: limits that cannot be set, a function that will not start."""


class DeploymentError(MoparError):
    """A running deployment failed a request through no fault of the caller."""


class OutOfMemoryError(DeploymentError):
    """A function was killed because a request took more memory than its limit; the request is not retried."""


class RequestError(MoparError):
    """A request is malformed: tensor names, dtypes, shapes, or body. HTTP 4xx.

    Args:
        message: one line for the caller.
        status: the HTTP status to answer with.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class OverloadedError(MoparError):
    """The queue is full or the deadline passed while waiting. HTTP 503 with Retry-After."""


class InfeasibleError(MoparError):
    """No plan satisfies the limits.

    Args:
        message: one line, naming the limit, its value and the nearest value that would do.
        limit: the name of the limit that is hit, such as ``slo_ms`` or ``memory_mib``.
        value: the limit's value as requested.
        nearest: the nearest feasible value; None where there is none.
    """

    def __init__(self, message: str, *, limit: str, value: float, nearest: float | None) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value
        self.nearest = nearest

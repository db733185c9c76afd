"""The exit code of each error class; a test checks that the table is complete."""

from mopar.types import (
    BundleError,
    DeploymentError,
    EngineError,
    InfeasibleError,
    InputError,
    ModelError,
    MoparError,
    OutOfMemoryError,
    OverloadedError,
    PlatformError,
    ProfileError,
    RequestError,
    StorageError,
    UsageError,
)

FAILED, WRONG_USE, INFEASIBLE = 1, 2, 3

EXIT_CODES: dict[type[MoparError], int] = {
    UsageError: WRONG_USE,
    ModelError: WRONG_USE,
    InputError: WRONG_USE,
    ProfileError: WRONG_USE,
    BundleError: WRONG_USE,
    RequestError: WRONG_USE,
    InfeasibleError: INFEASIBLE,
    EngineError: FAILED,
    StorageError: FAILED,
    PlatformError: FAILED,
    DeploymentError: FAILED,
    OutOfMemoryError: FAILED,
    OverloadedError: FAILED,
}


def exit_code(error: MoparError) -> int:
    """The exit code of an error."""
    return EXIT_CODES.get(type(error), FAILED)


def error_document(error: MoparError) -> dict[str, object]:
    """The ``--json`` document of an error."""
    kind = type(error).__name__.removesuffix("Error").lower()
    document: dict[str, object] = {"kind": kind, "message": str(error)}
    if isinstance(error, InfeasibleError):
        document |= {"limit": error.limit, "value": error.value, "nearest": error.nearest}
    return {"error": document}

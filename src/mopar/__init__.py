"""Cut a trained model into serverless functions of the right size."""

import os

# Set before anything loads ONNX Runtime, which from 1.29 on sends telemetry about every model that it loads.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

TYPE_CHECKING = False  # importing typing costs memory, and this module is imported in every function
if TYPE_CHECKING:
    from mopar.api import PlanOptions as PlanOptions
    from mopar.api import ServeOptions as ServeOptions
    from mopar.api import build as build
    from mopar.api import deploy as deploy
    from mopar.api import infer as infer
    from mopar.api import plan as plan
    from mopar.api import profile as profile
    from mopar.api import remove as remove
    from mopar.api import serve as serve
    from mopar.api import verify as verify
    from mopar.capture import load as load
    from mopar.types import MoparError as MoparError

__version__ = "0.1.0"

__all__ = [
    "MoparError",
    "PlanOptions",
    "ServeOptions",
    "__version__",
    "build",
    "deploy",
    "infer",
    "load",
    "plan",
    "profile",
    "remove",
    "serve",
    "verify",
]

_HOMES = {"load": "mopar.capture", "MoparError": "mopar.types"} | dict.fromkeys(
    ("PlanOptions", "ServeOptions", "build", "deploy", "infer", "plan", "profile", "remove", "serve", "verify"),
    "mopar.api",
)
"""Name -> the module that holds it, imported when the name is first used: ``import mopar`` loads none of them."""


def __getattr__(name: str) -> object:
    """A public name, from its module. Raises AttributeError where there is none."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)

"""uvloop without OpenSSL, for which a gateway has a use only where it calls AWS (docs/decisions/gateway-memory.md)."""

import sys
from types import ModuleType

_OPENSSL = ("ssl", "_ssl", "_hashlib")
"""Modules that load its libraries. A Python can be built without them: asyncio and hashlib do without."""


def uvloop_for(*, tls: bool) -> ModuleType:
    """Uvloop. Without ``tls`` it is ``uvloop_without_openssl``'s."""
    if not tls:
        return uvloop_without_openssl()
    import uvloop

    return uvloop


def uvloop_without_openssl() -> ModuleType:
    """uvloop; afterwards this process cannot import ``ssl``. Call it before anything imports asyncio or hashlib."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None stops an import
    modules.update(dict.fromkeys(_OPENSSL))
    import asyncio  # noqa: F401 - it does without ssl, where uvloop needs its names

    modules["ssl"] = _Absent("ssl")
    try:
        import uvloop
    finally:
        modules["ssl"] = None
    return uvloop


class _Absent(ModuleType):
    """Stands for ``ssl``, of which uvloop reads classes and error numbers when it is imported, and uses none."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return 0 if name.startswith("SSL_ERROR") else type(name, (Exception,), {})

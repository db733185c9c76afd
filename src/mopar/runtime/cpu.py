"""The kind of CPU, on which the layout of packed weights depends."""

import os

_CPUINFO = "/proc/cpuinfo"
_FLAGS = (b"flags", b"Features")  # as x86 and ARM call them

# The CPU flags by which ONNX Runtime selects kernels, and on which the layout of packed weights may depend.
_FEATURES = {
    "x86_64": (
        ("avx2", "avx2"),
        ("fma", "fma"),
        ("avx512f", "avx512"),
        ("avx512bw", "bw"),
        ("avx_vnni", "avxvnni"),
        ("avx512_vnni", "vnni"),
        ("avx512_bf16", "bf16"),
        ("amx_tile", "amx"),
        ("amx_int8", "amxint8"),
        ("amx_bf16", "amxbf16"),
    ),
    "aarch64": (
        ("asimd", "neon"),
        ("asimdhp", "fp16"),
        ("asimddp", "dot"),
        ("i8mm", "i8mm"),
        ("bf16", "bf16"),
        ("sve", "sve"),
        ("sme", "sme"),
    ),
}


def cpu_kind(architecture: str, flags: "frozenset[str]") -> str:
    """A stable name of the kind of CPU that packed weights fit, such as ``x86_64-avx2-fma-avx512-bw-vnni-bf16``."""
    names = [name for flag, name in _FEATURES.get(architecture, ()) if flag in flags]
    return "-".join((architecture, *names))


def own_cpu_kind() -> str:
    """The kind of this machine's CPU; without features where the system does not report them."""
    return cpu_kind(os.uname().machine, _flags())


def _flags() -> "frozenset[str]":
    """The first processor's flags."""
    try:
        with open(_CPUINFO, "rb") as lines:  # noqa: PTH123 - pathlib costs every function 1 MiB
            for line in lines:
                key, _, value = line.partition(b":")
                if key.strip() in _FLAGS:
                    return frozenset(str(value, "ascii", "replace").split())
    except OSError:
        pass
    return frozenset()

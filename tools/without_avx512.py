"""Run a command as on a CPU without AVX-512: ``python tools/without_avx512.py python -m pytest``.

ONNX Runtime selects its kernels, and the layout of weights, by the registers that the system saves (``xgetbv``). In a
copy of its libraries that instruction answers that only SSE and AVX registers are saved. The command, and all that it
starts, sees the copies in place of the libraries, and /proc/cpuinfo without the flags of AVX-512 and AMX: `mopar` reads
those. Kernels for AVX2 run at the speed of this CPU; its caches and memory stay its own. Needs ``objdump`` (Debian's
binutils) and ``unshare``, as root or where users may create namespaces.
"""

import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path

XGETBV = bytes.fromhex("0f01d0")
ANSWER = bytes.fromhex("8d4107")
"""``lea eax, [rcx + 7]``: x87, SSE and AVX; the instruction that it replaces finds 0 in ``ecx``."""
HIDDEN = re.compile(r"(avx512|amx_|avx_vnni)\w*")
CPUINFO = Path("/proc/cpuinfo")


def instructions(library: Path) -> list[int]:
    """Addresses of ``xgetbv`` in a library's code."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", "--section=.text", str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dump:
        assert dump.stdout is not None
        found = [int(line.split(":", 1)[0], 16) for line in dump.stdout if "xgetbv" in line]
    if dump.returncode:
        sys.exit(f"{library}: objdump cannot read it")
    return found


def text_begins(library: Path) -> int:
    """Address of the first byte of ``.text``, less its place in the file."""
    command = ["objdump", "--section-headers", "--section=.text", str(library)]
    headers = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _number, _name, _size, loaded, _physical, offset, *_ = next(
        line.split() for line in headers.splitlines() if ".text" in line.split()
    )
    return int(loaded, 16) - int(offset, 16)


def write_copy(library: Path, copy: Path) -> bool:
    """Write a library without AVX-512; False where its code asks for no registers."""
    content = bytearray(library.read_bytes())
    if XGETBV not in content:
        return False
    found = instructions(library)
    begin = text_begins(library)
    for address in found:
        at = address - begin
        if content[at : at + len(XGETBV)] != XGETBV:
            sys.exit(f"{library}: no xgetbv at {at:#x}: objdump and the file differ")
        content[at : at + len(XGETBV)] = ANSWER
    copy.write_bytes(content)
    return bool(found)


def engine_libraries() -> list[Path]:
    """The libraries of the installed onnxruntime."""
    for folder in site.getsitepackages():
        found = sorted(Path(folder, "onnxruntime", "capi").glob("*.so*"))
        if found:
            return found
    return sys.exit("onnxruntime is not installed")


def main() -> None:
    """Run the command line's command."""
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    missing = [command for command in ("objdump", "unshare") if shutil.which(command) is None]
    if missing:
        sys.exit(f"no {', '.join(missing)}: apt-get install binutils util-linux")
    with tempfile.TemporaryDirectory(prefix="mopar-without-avx512-") as folder:
        flags = Path(folder, "cpuinfo")
        flags.write_text(HIDDEN.sub("", CPUINFO.read_text()))
        mounts = [(flags, CPUINFO)]
        for library in engine_libraries():
            copy = Path(folder, library.name)
            if write_copy(library, copy):
                mounts.append((copy, library))
        if len(mounts) == 1:
            sys.exit("the installed onnxruntime asks for no AVX registers: is this an x86 machine?")
        binds = " && ".join(f"mount --bind '{source}' '{target}'" for source, target in mounts)
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        command = ["unshare", *user, "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh", *sys.argv[1:]]
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()

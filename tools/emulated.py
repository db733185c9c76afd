"""Create an environment whose Python runs on an emulated CPU: ``python tools/emulated.py .venv/emulated``.

QEMU's user mode offers AVX2 and no AVX-512, and emulates one process: its children run on the real CPU. Therefore the
environment's ``bin/python`` is a script that starts QEMU, and whatever starts ``sys.executable``, as `mopar` does for
its functions, is emulated too. Packages are those of the current environment.
"""

import shlex
import shutil
import site
import sys
import venv
from pathlib import Path

QEMU = "qemu-x86_64"
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Create the environment in the folder that the command line names."""
    qemu = shutil.which(QEMU)
    if qemu is None:
        sys.exit(f"no {QEMU}: apt-get install qemu-user")
    home = Path(sys.argv[1])
    venv.create(home, symlinks=True, clear=True)
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        (home / "bin" / name).unlink(missing_ok=True)
    real = Path(sys.executable).resolve()
    script = home / "bin" / "python"
    # QEMU passes the script's name as the name of the process; Python finds the environment by it.
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(qemu)} -cpu max -0 "$0" {shlex.quote(str(real))} "$@"\n')
    script.chmod(0o755)
    packages = home / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    # As lines of a .pth file: packages that are installed as links into a source tree have .pth files of their own,
    # which a plain path would not read.
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in site.getsitepackages()]
    (packages / "shared.pth").write_text("".join(lines))


if __name__ == "__main__":
    main()

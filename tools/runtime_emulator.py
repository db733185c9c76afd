"""Put Lambda's runtime interface emulator beside this Python: ``python tools/runtime_emulator.py WHEELS``.

It is in the wheel of aws-sam-cli, which pins an old click and is not installed.
"""

import os
import sys
import zipfile
from pathlib import Path


def main() -> None:
    """Take the emulator for this machine out of the wheel in the folder that the command line names."""
    machine = "arm64" if os.uname().machine == "aarch64" else "x86_64"
    wheel = max(Path(sys.argv[1]).glob("aws_sam_cli-*.whl"), key=os.path.getmtime)
    target = Path(sys.executable).parent / "aws-lambda-rie"
    with zipfile.ZipFile(wheel) as archive:
        target.write_bytes(archive.read(f"samcli/local/rapid/aws-lambda-rie-{machine}"))
    target.chmod(0o755)


if __name__ == "__main__":
    main()

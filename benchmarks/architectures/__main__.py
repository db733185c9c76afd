"""Export one architecture: ``python -m benchmarks.architectures NAME [--full] -o FILE.onnx``."""

import argparse
from pathlib import Path

from benchmarks.architectures import FULL, SUITE
from benchmarks.architectures.export import export


def main() -> None:
    """Export the architecture that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures", description=__doc__)
    parser.add_argument("name", choices=sorted({*SUITE, *FULL}), metavar="NAME")
    parser.add_argument("--full", action="store_true", help="in the size that it is known by, in place of a small one")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    export((FULL if options.full else SUITE)[options.name], options.output)


if __name__ == "__main__":
    main()

"""Benchmarks behind every figure in the documentation; each prints the machine on which it ran.

python -m benchmarks                            this list
python -m benchmarks.NAME [--help]              one of them, with its options
python -m benchmarks --run [NAME ..] [--json DIR]   those, or all, with raw samples in DIR/NAME.json
"""

import argparse
import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SHARED = {
    "__main__", "attack_requests", "buffers", "calls_in_turn", "coded", "common", "deployed", "layers", "load",
    "paper_tables", "real_inputs", "two_plans", "zoo_torch",
}  # fmt: skip


def listed() -> dict[str, str]:
    """Return the name of each benchmark and the first line of its docstring."""
    modules = sorted(path for path in FOLDER.glob("*.py") if path.stem not in SHARED)
    docs = {path.stem: ast.get_docstring(ast.parse(path.read_text())) or "" for path in modules}
    return {name: doc.partition("\n")[0] for name, doc in docs.items()}


def main() -> None:
    """List the benchmarks, or run them one after the other."""
    known = listed()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="*", metavar="NAME", choices=list(known), help="run these; without a name, all")
    parser.add_argument("--json", type=Path, metavar="DIR", help="for raw samples")
    options = parser.parse_args()
    if options.run is None:
        print(f"{__doc__}")
        for name, line in known.items():
            print(f"  {name:<16} {line}")
        return
    failed = []
    for name in options.run or known:
        print(f"== {name}: {known[name]}", flush=True)
        raw = [] if options.json is None else ["--json", str(options.json / f"{name}.json")]
        if subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *raw], cwd=FOLDER.parent, check=False
        ).returncode:
            failed.append(name)
        print(flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

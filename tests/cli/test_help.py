"""Every verb prints its usage, without heavy imports."""

import json
import subprocess
import sys

import pytest
from typer.main import get_command

from mopar.cli.app import app
from tests.test_imports import HEAVY

VERBS = [
    *("import", "calibrate", "profile", "plan", "build", "verify", "serve", "infer", "bench", "up"),
    *("package", "deploy", "status", "remove", "zoo"),
]

ASKED = """
import json, sys
from mopar.cli.app import run_app
try:
    run_app(sys.argv[1:])
except SystemExit as ended:
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps([ended.code, loaded]), file=sys.stderr)
"""


def test_these_are_all_verbs() -> None:
    assert list(getattr(get_command(app), "commands")) == VERBS  # noqa: B009 - typer's type does not tell of it


@pytest.mark.parametrize("verb", ["", *VERBS, "zoo list", "zoo export"])
def test_help_shows_an_example_and_loads_nothing_heavy(verb: str) -> None:
    arguments = [*verb.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", ASKED, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    code, loaded = json.loads(done.stderr)
    assert code == 0
    assert f"Example: mopar {verb}".rstrip() in " ".join(done.stdout.split())
    assert set(loaded) & (HEAVY - {"rich", "typer"}) == set()

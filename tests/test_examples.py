"""The examples run, and print what they demonstrate."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHOWS = {
    "plan_under_slo": r"the fastest plan: .*at most .*the cheapest plan: .* USD .*: slo_ms",
    "serve_in_process": r"2 functions, takes .*held ms: .*'f0'.*'f1'.*answers \(256, 256\)",
    "add_price_book": r"paper: .*my-cloud: \d.* USD per million requests \(unsplit .* MiB and .* CPU",
    "add_sharding_rule": r"without a rule: part 0 takes rows 0 to 63.*with a rule: part 1 takes rows 32 to 63.*unsplit",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, new_cache: Callable[[Path], Path]) -> Path:
    """A shared cache: three of the examples profile the same model."""
    return new_cache(tmp_path_factory.mktemp("examples") / "cache")


@pytest.mark.parametrize("name", SHOWS)
def test_examples_show_what_they_say(name: str, cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-m", f"examples.{name}"],
        cwd=ROOT, env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(SHOWS[name], done.stdout, re.DOTALL), done.stdout


def test_every_example_stays_short() -> None:
    """Short enough to read before running. The demo is a program of its own."""
    assert {name: count for name in SHOWS if (count := len(lines(name))) >= 60} == {}


def lines(name: str) -> list[str]:
    return (ROOT / "examples" / f"{name}.py").read_text().splitlines()

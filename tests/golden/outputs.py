"""Output of the command line on a terminal of 80 columns: each file has one or several commands and their output."""

import contextlib
import io
import lzma
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from mopar.cli.app import run_app
from mopar.cli.bench import render_bench
from mopar.cli.output import Output
from mopar.cli.profile import _render as render_profile
from mopar.cli.verify import render_verification
from mopar.files import read_json, temporary_folder
from mopar.types import UsageError
from mopar.types.reports import BenchReport, Verification
from tests.golden.plans import FOLDER, kept_profile, profile_path

_LONG_FIGURE = re.compile(r"\d+\.\d{7,}")
ON_PLATFORMS = ("package", "deploy", "status", "remove")
VERBS = (
    "import",
    "calibrate",
    "profile",
    "plan",
    "build",
    "verify",
    "serve",
    "infer",
    "bench",
    "up",
    *ON_PLATFORMS,
    "zoo",
)
HELP = ("", *VERBS, "zoo list", "zoo export")
PLAN_COMMANDS = (
    "plan profile.json --pareto",
    "plan profile.json --objective latency --max-functions 3",
    "plan profile.json --platform openfaas --slo-ms none",
    "plan profile.json --platform aws-lambda --parts 1 --objective latency",
    "plan profile.json --platform aws-lambda --slo-ms none --orchestration step-functions",
    "plan profile.json --platform aws-lambda --orchestration lambda",
    "plan profile.json --rate 20",
    "plan profile.json --uniform 3 --json",
    "plan profile.json --slo-ms 1",
    "plan profile.json --slo-ms 1 --json",
    "plan profile.json --cuts 1,999",
    "plan profile.json --platform nowhere",
)


def outputs() -> dict[str, Callable[[], str]]:
    """File's stem -> function that produces its text."""
    return {
        "help": lambda: _transcript(f"{verb} --help".strip() for verb in HELP),
        "zoo": lambda: _transcript(["zoo list"]),
        "plan": lambda: _planned("vgg16", PLAN_COMMANDS),
        "profile": lambda: _drawn(lambda console: render_profile(console, kept_profile("vgg16"), Path("profile.json"))),
        "verify": lambda: "\n".join(map(_verified, ("verification", "verification-failed", "verification-unlimited"))),
        "bench": _benched,
    }


def output_path(name: str) -> Path:
    """Path of a stored output."""
    return FOLDER / "output" / f"{name}.txt"


def _planned(model: str, commands: Sequence[str]) -> str:
    """Commands that read the model's profile from the working directory."""
    with temporary_folder("mopar-golden-") as folder, contextlib.chdir(folder):
        Path("profile.json").write_bytes(lzma.decompress(profile_path(model).read_bytes()))
        return _transcript(commands)


def _transcript(commands: Sequence[str] | Iterator[str]) -> str:
    """Each command with its output and, if it is not 0, its exit code."""
    return "\n".join(f"$ mopar {command}\n{_run(command.split())}" for command in commands)


def _run(arguments: Sequence[str]) -> str:
    code: object = None
    with _screen() as printed:
        try:
            run_app(arguments)
        except SystemExit as ended:
            code = ended.code
    return _plain(printed.getvalue()) + (f"exit {code}\n" if code else "")


def _drawn(render: Callable[[Console], None]) -> str:
    with _screen() as printed:
        Output(as_json=False).result({}, render)
    return _plain(printed.getvalue())


@contextlib.contextmanager
def _screen() -> Iterator[io.StringIO]:
    """The block's output on a terminal of 80 columns, without colours."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield printed


def _plain(text: str) -> str:
    """Remove the trailing blanks of tables, and round figures of JSON to four digits."""
    rounded = _LONG_FIGURE.sub(lambda found: f"{float(found[0]):.4g}", text)
    return "".join(f"{line.rstrip()}\n" for line in rounded.splitlines())


def _verified(name: str) -> str:
    found = read_json(FOLDER / "results" / f"{name}.json", Verification, error=UsageError)
    return _drawn(lambda console: render_verification(console, found))


def _benched() -> str:
    report = read_json(FOLDER / "results" / "bench.json", BenchReport, error=UsageError)
    return _drawn(lambda console: render_bench(console, report))

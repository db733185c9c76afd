"""Output of the verbs: the next command, the remaining time, and lines that fit the terminal."""

from dataclasses import replace
from pathlib import Path

import pytest

from mopar.cli.output import Output, table
from mopar.cli.sizes import sizes_note
from mopar.planning import plan_unsplit
from mopar.types import InputRecipe, LargerRequest, Plan, UsageError
from mopar.types.ranges import InputRange
from tests.cli.harness import Pipeline, mopar
from tests.profiles import FREE, PAPER, chain


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, as the progress line reads them."""
    now = [0.0]
    monkeypatch.setattr("mopar.cli.output.time.monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_from_the_share_done(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    for seconds, share in ((0.0, 0.0), (10.0, 0.25), (20.0, 0.5), (500.0, 0.6), (501.0, 0.1)):
        clock[0] = seconds
        out.progress(f"at {share}", share)
    shown = capsys.readouterr().err.splitlines()
    assert shown == [
        "at 0.25 (25%, about 30 s left) ..",
        "at 0.5 (50%, about 20 s left) ..",
        "at 0.6 (60%, about 6 min left) ..",
    ]


def test_quiet_leaves_out_progress_and_notes(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False, quiet=True)
    clock[0] = 10.0
    out.progress("on its way", 0.5)
    out.notice("worth knowing")
    assert capsys.readouterr().err == ""


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    out.fail(UsageError("no :x: and no [red]"))
    out.notice(":x: [/red]")
    out.result({}, lambda console: console.print(table(":x:", ("[red]",), [(":x: [/red]",)])))
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["error: no :x: and no [red]", "note: :x: [/red]"]
    assert shown.out.split() == [":x:", "[red]", "\u2500" * 10, ":x:", "[/red]"]


def test_each_verb_fits_a_screen_and_says_what_comes_next(made: Pipeline, tmp_path: Path) -> None:
    ends = {}
    commands: tuple[tuple[str, list[str | Path]], ...] = (
        ("profile", [made.model, "--predict", "-o", tmp_path / "p.json"]),
        ("plan", [made.profile, "-o", tmp_path / "plan.json"]),
        ("build", [made.model, made.plan, "-o", tmp_path / "b"]),
        ("verify", [made.bundle, "--against", made.model, "--no-memory"]),
    )
    for verb, arguments in commands:
        done = mopar(verb, *arguments, "--quiet", cache=made.cache)
        assert (done.code, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        tables = [line for line in lines if line.startswith(" ")]
        assert max(map(len, tables), default=0) <= 80, done.stdout
        ends[verb] = lines[-1]
    model = made.model
    assert ends == {
        "profile": f"next: mopar plan {tmp_path / 'p.json'} -o plan.json",
        "plan": f"next: mopar build {model.stem}.onnx {tmp_path / 'plan.json'} -o bundle/",
        "build": f"next: mopar verify {tmp_path / 'b'} --against {model}",
        "verify": f"next: mopar serve {made.bundle}",
    }


def plan_of(ranges: tuple[InputRange, ...], beyond: LargerRequest | None = None) -> Plan:
    recipe = InputRecipe("ids", "int64", (1, 64), "integers", 0)
    return replace(plan_unsplit(chain(2), PAPER, FREE), ranges=ranges, recipes=(recipe,), beyond=beyond)


def test_what_a_plan_answers_is_said() -> None:
    stated = plan_of((InputRange("ids", (1, 1), (1, 512), stated=True),))
    assert sizes_note(stated) == ("answers ids=1x1..512: memory is planned for the largest, latency for ids=1x64")
    point = (InputRange("ids", (0, 0), (1, 64)),)
    beyond = plan_of(point, LargerRequest({"ids": (2, 128)}, (99.0,)))
    limit = beyond.functions[0].memory_mib
    assert sizes_note(beyond) == (
        "answers ids of at most 1x64, and refuses larger requests: ids=2x128 would need about 99 MiB in f0, whose "
        f"limit is {limit}; profile with --input ids=1..2x1..128 to have it answered"
    )
    assert sizes_note(plan_of(point)) == "answers ids of at most 1x64, and refuses larger requests"
    assert sizes_note(plan_of((InputRange("ids", (1, 64), (1, 64)),))) == ""

"""Printed patterns."""

from dataclasses import replace

from rich.console import Console

from mopar.cli.patterns import render_patterns, sparkline
from mopar.profiling.patterns import patterns_of
from tests.profiles import chain


def test_a_bar_shows_the_most_of_its_part_of_the_time() -> None:
    assert sparkline([8, 1, 4], [1.0, 2.0, 1.0], columns=4) == "█▂▂▅"
    assert sparkline([1, 8, 1], [1.0, 0.01, 1.0], columns=2) == "██"
    assert sparkline([8, 0], [1.0, 1.0], columns=2, unicode=False) == "#_"
    assert sparkline([0.0], [0.0], columns=3) == "▁▁▁"


def test_a_profile_of_many_runs_stays_short() -> None:
    """Layers whose times change twenty times: the ten longest runs are printed, and a note that there are more."""
    profile = chain(200)
    layers = tuple(
        replace(layer, latency_ms=1.0 if layer.index // 10 % 2 else 9.0, operators=(f"Op{layer.index % 30}",))
        for layer in profile.layers
    )
    patterns = patterns_of(layers, profile.weights, [layer.operators[0] for layer in layers])
    console = Console(width=160, force_terminal=False)
    with console.capture() as captured:
        render_patterns(console, replace(profile, layers=layers, patterns=patterns))
    text = captured.get()
    assert "20 runs of similar layers, 10 longest" in text
    assert "memory swing, over" in text
    assert len(text.splitlines()) < 45

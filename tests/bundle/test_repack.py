"""Graphs packed again where the bundle was built on a machine of another kind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mopar.bundle import Bundle, fits_machine, prepare, repack
from mopar.measurement.recording import record
from tests.bundle.disk import full_disk
from tests.bundle.manifests import built_elsewhere, flip
from tests.graph.composed import assert_equal, run_file
from tests.models import sample_inputs


def assert_answers(bundle: Bundle, model: Path) -> None:
    feeds = sample_inputs("skip")
    assert_equal(record(bundle, feeds).outputs, run_file(model, feeds), "prepared")


def refuse(*_: object) -> tuple[Path, ...]:
    raise AssertionError("packed again")


def test_a_bundle_of_this_machine_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    assert prepare(bundle, tmp_path / "cache") is bundle
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("elsewhere", [{"cpu_kind": "z80"}, {"onnxruntime": "1.99.0"}])
def test_its_graphs_are_packed_for_this_one_once(
    bundle: Bundle,
    reference: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: dict[str, str],
) -> None:
    """The bundle itself stays unchanged; later calls use the cached graphs."""
    strange = built_elsewhere(bundle, **elsewhere)
    prepared = prepare(strange, tmp_path / "cache", pytest.fail)
    for graph in prepared.manifest.graphs:
        path, options = prepared.runnable(graph)
        assert path.is_relative_to(tmp_path / "cache" / "packed")
        assert path.is_file()
        assert graph.packed is not None
        assert options == graph.packed.options
        assert fits_machine(graph.packed.cpu_kind, graph.packed.onnxruntime)
        assert path in prepared.files_of(graph.function)
    assert_answers(prepared, reference("skip"))
    assert strange.packed_root is None
    monkeypatch.setattr(repack, "pack_graph", refuse)
    assert prepare(strange, tmp_path / "cache", pytest.fail) == prepared


def test_what_is_damaged_in_the_cache_is_made_again(
    bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    strange = built_elsewhere(bundle)
    prepared = prepare(strange, tmp_path / "cache")
    assert prepared.packed_root is not None
    path, _ = prepared.runnable(prepared.manifest.graphs[1])
    index = prepared.packed_root / "packed.json"
    damages: list[Callable[[], None]] = [lambda: flip(path, 50), path.unlink, index.unlink]
    for damage in damages:
        damage()
        prepare(strange, tmp_path / "cache", pytest.fail)
        assert_answers(prepared, reference("skip"))
        assert [entry.name for entry in prepared.packed_root.parent.iterdir()] == [prepared.packed_root.name]


def test_a_process_that_was_quicker_is_no_matter(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both processes have packed, and the other one has moved its folder into place first."""
    strange = built_elsewhere(bundle)
    first = prepare(strange, tmp_path / "cache")
    real, attempts = repack._kept, []

    def not_yet(*arguments: Any) -> object:
        attempts.append(arguments)
        return None if len(attempts) == 1 else real(*arguments)

    monkeypatch.setattr(repack, "_kept", not_yet)
    second = prepare(strange, tmp_path / "cache", pytest.fail)
    assert len(attempts) == 2
    assert second == first


def test_without_a_cache_the_portable_graphs_run_and_a_notice_says_so(
    bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    strange = built_elsewhere(bundle)
    (tmp_path / "file").touch()
    notices: list[str] = []
    assert prepare(strange, tmp_path / "file" / "cache", notices.append) is strange
    with full_disk(2000):
        assert prepare(strange, tmp_path / "cache", notices.append) is strange
    assert all("built for another kind of machine" in notice for notice in notices)
    assert len(notices) == 2
    assert list((tmp_path / "cache" / "packed").glob("*/*")) == []
    assert_answers(strange, reference("skip"))


def test_a_settled_bundle_runs_the_same_files(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed ones in the bundle and in the cache, and portable ones; from any folder."""
    packed = prepare(built_elsewhere(bundle), tmp_path / "cache")
    portable = built_elsewhere(bundle)
    for each in (bundle, packed, portable):
        here = replace(each, root=each.root.relative_to(tmp_path))
        monkeypatch.chdir(tmp_path)
        settled = here.settled()
        monkeypatch.chdir("/")
        for graph, as_is in zip(settled.manifest.graphs, each.manifest.graphs, strict=True):
            assert settled.runnable(graph) == each.runnable(as_is)
        for function in each.manifest.plan.functions:
            assert settled.files_of(function.name) == each.files_of(function.name)

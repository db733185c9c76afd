"""A bundle is complete or absent, whatever happens during the build."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from mopar import files
from mopar.bundle import assemble, build, open_bundle
from mopar.engine.prepack import pack_graph
from mopar.files import swap_paths
from mopar.graph import Model, load_model
from mopar.types import BundleError, EngineOptions, Plan, StorageError, UsageError
from tests.bundle.disk import full_disk
from tests.bundle.plans import chain, some_cuts


@pytest.fixture
def model(reference: Callable[[str], Path]) -> Model:
    return load_model(reference("skip"))


@pytest.fixture
def plan(model: Model) -> Plan:
    return chain(model, some_cuts(model, 2))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_bundle_holds_what_its_manifest_says_and_nothing_else(model: Model, plan: Plan, tmp_path: Path) -> None:
    manifest = build(model, plan, tmp_path / "b")
    listed = [entry.path for graph in manifest.graphs for entry in graph.files]
    listed += [entry.path for graph in manifest.graphs if graph.packed for entry in graph.packed.files]
    assert sorted([*listed, "manifest.json"]) == sorted(contents(tmp_path / "b"))
    assert open_bundle(tmp_path / "b").manifest == manifest
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755


def test_a_plan_for_another_model_is_refused(plan: Plan, reference: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"the plan was made for another model than .*mlp\.onnx"):
        build(load_model(reference("mlp")), plan, tmp_path / "b")
    assert names(tmp_path) == []


def folder_of_another_program(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"name": "a web page", "icons": []}')


def folder_with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "precious.txt").write_text("mine")


@pytest.mark.parametrize("make", [folder_of_another_program, folder_with_a_file, Path.touch])
def test_what_is_no_bundle_is_never_replaced(
    model: Model, plan: Plan, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A ``manifest.json`` alone does not make a bundle: other programs use that name."""
    make(tmp_path / "b")
    before = contents(tmp_path)
    with pytest.raises(BundleError, match="exists and is no bundle"):
        build(model, plan, tmp_path / "b")
    assert contents(tmp_path) == before


def test_an_empty_folder_is_as_good_as_none(model: Model, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    build(model, plan, tmp_path / "b")
    open_bundle(tmp_path / "b")


def broken(model: Model, out: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Build another plan so that it fails after its first graph is written."""
    plan = chain(model, some_cuts(model, 1))
    if how == "disk full":
        with full_disk(6000):
            build(model, plan, out)
        return
    calls: list[Path] = []

    def pack(source: Path, target: Path, options: EngineOptions) -> tuple[Path, ...]:
        calls.append(source)
        if len(calls) == 2:
            raise BundleError(f"{source.name}: refused")
        return pack_graph(source, target, options)

    monkeypatch.setattr(assemble, "pack_graph", pack)
    build(model, plan, out)


@pytest.mark.parametrize("how", ["disk full", "engine refuses"])
@pytest.mark.parametrize("old", [True, False])
def test_a_failure_in_the_middle_leaves_what_was_there(
    model: Model, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, old: bool
) -> None:
    if old:
        build(model, plan, tmp_path / "b")
    before = contents(tmp_path)
    with pytest.raises(StorageError if how == "disk full" else BundleError):
        broken(model, tmp_path / "b", monkeypatch, how)
    assert contents(tmp_path) == before
    assert names(tmp_path) == (["b"] if old else [])


@pytest.mark.parametrize("one_step", [True, False])
def test_the_old_bundle_is_whole_until_the_new_one_is_there(
    model: Model, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_step: bool
) -> None:
    """Also where the file system cannot exchange two folders atomically."""
    if not one_step:
        monkeypatch.setattr(files, "swap_paths", lambda _first, _second: False)
    out = tmp_path / "b"
    old = build(model, plan, out)
    seen = []
    new = build(
        model,
        chain(model, some_cuts(model, 1)),
        out,
        progress=lambda _stage, _share: seen.append(open_bundle(out).manifest),
    )
    assert seen == [old] * 2
    assert open_bundle(out).manifest == new != old
    assert names(tmp_path) == ["b"]


def test_a_new_bundle_that_cannot_be_moved_into_place_gives_way_to_the_old(
    model: Model, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "b"
    old = build(model, plan, out)
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if target == out and path.name != "old":
            raise OSError(5, "Input/output error")
        return real(path, target)

    monkeypatch.setattr(files, "swap_paths", lambda _first, _second: False)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(StorageError, match="b: Input/output error"):
        build(model, chain(model), out)
    assert open_bundle(out).manifest == old
    assert names(tmp_path) == ["b"]


def test_folders_change_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not swap_paths(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange two paths")
    assert (names(tmp_path / "a"), names(tmp_path / "b")) == (["b"], ["a"])
    assert not swap_paths(tmp_path / "a", tmp_path / "absent")


def test_a_link_to_a_bundle_stays_a_link(model: Model, plan: Plan, tmp_path: Path) -> None:
    build(model, plan, tmp_path / "there")
    (tmp_path / "here").symlink_to("there")
    new = build(model, chain(model), tmp_path / "here")
    assert (tmp_path / "here").is_symlink()
    assert open_bundle(tmp_path / "there").manifest == new


def test_a_folder_that_cannot_be_written_is_one_line(model: Model, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"b: .*: look at the disk and the path"):
        build(model, plan, tmp_path / "file" / "b")


def with_other_order(plan: Plan) -> Plan:
    """Give the last call its inputs in another order than its graph."""
    last = plan.calls[-1]
    return dataclasses.replace(plan, calls=(*plan.calls[:-1], dataclasses.replace(last, inputs=last.inputs[::-1])))


def with_other_tensors(plan: Plan) -> Plan:
    """Let a graph list tensors that it does not read."""
    first, *rest = plan.graphs
    call = dataclasses.replace(plan.calls[0], inputs=())
    return dataclasses.replace(
        plan, graphs=(dataclasses.replace(first, inputs=()), *rest), calls=(call, *plan.calls[1:])
    )


def with_a_path_as_a_name(plan: Plan) -> Plan:
    """A function's name is part of file names."""
    first, *rest = plan.functions
    name = "../../f0"
    call = dataclasses.replace(plan.calls[0], function=name)
    return dataclasses.replace(
        plan, functions=(dataclasses.replace(first, name=name), *rest), calls=(call, *plan.calls[1:])
    )


def test_a_plan_whose_parts_do_not_fit_is_refused(model: Model, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes or gives other tensors"):
        build(model, with_other_order(plan), tmp_path / "b")
    with pytest.raises(BundleError, match="its inputs in the model are x"):
        build(model, with_other_tensors(plan), tmp_path / "b")
    with pytest.raises(BundleError, match="cannot name a function"):
        build(model, with_a_path_as_a_name(plan), tmp_path / "b")
    assert names(tmp_path) == []

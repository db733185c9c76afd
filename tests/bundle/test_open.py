"""A bundle is opened unchanged, or it is refused."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.bundle import MANIFEST, Bundle, open_bundle
from mopar.measurement.recording import record
from mopar.types import BundleError, Manifest, Source
from tests.bundle.manifests import built_elsewhere, first_graph, first_path, flip, listed, rewrite
from tests.graph.composed import assert_equal, run_file
from tests.models import sample_inputs


def test_a_changed_byte_in_any_file_is_noticed(bundle: Bundle) -> None:
    """First, last and middle byte; ``check=False`` is for a bundle that was just built."""
    entries = listed(bundle)
    assert len(entries) >= 6
    for entry in entries:
        path = bundle.root / entry.path
        whole = path.read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1}:
            flip(path, at)
            with pytest.raises(BundleError, match=f"{entry.path}: not the file that was built"):
                open_bundle(bundle.root)
            open_bundle(bundle.root, check=False)
            path.write_bytes(whole)
    open_bundle(bundle.root)


def test_a_missing_or_shorter_file_is_noticed(bundle: Bundle) -> None:
    for entry in listed(bundle):
        path = bundle.root / entry.path
        whole = path.read_bytes()
        for check in (True, False):
            path.write_bytes(whole[:-1])
            with pytest.raises(BundleError, match=f"{entry.path}: not the file that was built"):
                open_bundle(bundle.root, check=check)
            path.unlink()
            with pytest.raises(BundleError, match=f"{entry.path}: No such file"):
                open_bundle(bundle.root, check=check)
        path.write_bytes(whole)


def test_no_path_leads_outside(bundle: Bundle, tmp_path: Path) -> None:
    """Even where the file there is identical to the built one."""
    inside = bundle.root / bundle.manifest.graphs[0].files[0].path
    outside = tmp_path / "outside.onnx"
    shutil.copyfile(inside, outside)
    (bundle.root / "link.onnx").symlink_to(outside)
    (bundle.root / "up").symlink_to(tmp_path)
    paths = [str(outside), "../outside.onnx", "graphs/../../outside.onnx", "link.onnx", "up/outside.onnx", "a\0b"]
    for path in paths:
        rewrite(bundle, first_path(path))
        with pytest.raises(BundleError, match="lies outside the bundle"):
            open_bundle(bundle.root)


def test_a_link_to_a_file_inside_is_no_matter(bundle: Bundle) -> None:
    entry = bundle.manifest.graphs[0].files[0]
    (bundle.root / "again.onnx").symlink_to(entry.path)
    rewrite(bundle, first_path("again.onnx"))
    assert open_bundle(bundle.root).manifest.graphs[0].files[0].path == "again.onnx"


def test_a_bundle_may_be_moved(bundle: Bundle, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "b"
    moved.parent.mkdir()
    bundle.root.rename(moved)
    assert open_bundle(moved).manifest == bundle.manifest


def test_what_is_no_bundle_is_one_line(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="absent: no such bundle"):
        open_bundle(tmp_path / "absent")
    path = bundle.root / MANIFEST
    text = path.read_text()
    for broken, message in [
        (text[:-20], "not a valid manifest file"),
        ("[]", "not a valid manifest file"),
        ("\xff", "not a valid manifest file"),
        (text.replace('"graphs"', '"pictures"'), "missing required field `graphs`"),
        (json.dumps({**json.loads(text), "schema": 99}), "schema version 99, this mopar reads 2"),
    ]:
        path.write_text(broken, "latin-1")
        with pytest.raises(BundleError, match=message) as caught:
            open_bundle(bundle.root)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(BundleError, match=r"no bundle, it has no manifest\.json"):
        open_bundle(bundle.root)


def _last_call(**changes: object) -> Callable[[Manifest], Manifest]:
    return lambda manifest: dataclasses.replace(
        manifest,
        calls=(*manifest.calls[:-1], dataclasses.replace(manifest.calls[-1], **changes)),  # type: ignore[arg-type]
    )


def _last_source(source: Source) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        first, *rest = manifest.calls[-1].inputs
        return _last_call(inputs=(dataclasses.replace(first, sources=(source,)), *rest))(manifest)

    return change


def _outputs(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, plan=dataclasses.replace(manifest.plan, outputs=(("y", "c0"),)))


INCONSISTENT: list[tuple[Callable[[Manifest], Manifest], str]] = [
    (first_graph(lambda graph: dataclasses.replace(graph, files=())), "has no file"),
    (first_graph(lambda graph: dataclasses.replace(graph, function="f9")), "is of no function"),
    (first_graph(lambda graph: dataclasses.replace(graph, outputs=())), "call c0 does not fit graph f0-g0"),
    (
        first_graph(
            lambda graph: dataclasses.replace(graph, inputs=(dataclasses.replace(graph.inputs[0], dtype="float31"),))
        ),
        "unknown element type float31",
    ),
    (_last_call(graph="g9"), "call c2 does not fit graph g9"),
    (_last_call(function="f0"), "call c2 does not fit"),
    (_last_call(id="c9"), "its calls are not the plan's"),
    (_last_call(inputs=()), "call c2 does not fit"),
    (_last_source(Source("c2", "y")), "from where it is not made before"),
    (_last_source(Source("c0", "no_such_tensor")), "from where it is not made before"),
    (_outputs, "output y is not made by c0"),
    (lambda manifest: dataclasses.replace(manifest, outputs=()), "its outputs are not the plan's"),
    (lambda manifest: dataclasses.replace(manifest, graphs=manifest.graphs * 2), "have not each an id"),
    (lambda manifest: dataclasses.replace(manifest, allocator="LD_PRELOAD"), "'LD_PRELOAD' is none of keeping, glibc"),
]


@pytest.mark.parametrize(("change", "message"), INCONSISTENT)
def test_a_manifest_whose_parts_do_not_fit_is_refused(
    bundle: Bundle, change: Callable[[Manifest], Manifest], message: str
) -> None:
    """Inconsistent manifests fail when they are opened, not at the first request."""
    rewrite(bundle, change)
    with pytest.raises(BundleError, match=message):
        open_bundle(bundle.root)


@pytest.mark.parametrize("elsewhere", [{"cpu_kind": "z80"}, {"onnxruntime": "1.99.0"}])
def test_built_for_another_machine_its_portable_graphs_answer(
    bundle: Bundle, reference: Callable[[str], Path], elsewhere: dict[str, str]
) -> None:
    """Their weights are not packed, so they run on any kind of CPU."""
    strange = built_elsewhere(bundle, **elsewhere)
    for graph in strange.manifest.graphs:
        assert strange.runnable(graph) == (strange.root / graph.files[0].path, graph.options)
        assert set(strange.files_of(graph.function)) == {strange.root / entry.path for entry in graph.files}
    feeds = sample_inputs("skip")
    assert_equal(record(strange, feeds).outputs, run_file(reference("skip"), feeds), "portable")

"""A manifest must agree with its graphs about tensors and files, or the bundle is refused."""

import dataclasses
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from mopar.bundle import MANIFEST, Bundle, file_entries, open_bundle
from mopar.bundle.interface import interface_of
from mopar.engine import plain
from mopar.graph.load import read_interface
from mopar.types import BundleError, GraphEntry, Manifest, Region, Source, TensorSpec
from tests.bundle.manifests import first_graph, listed, rewrite
from tests.bundle.plans import built
from tests.models import materialise, small_names

HUGE = 1 << 50
Change = Callable[[Manifest], Manifest]


def _spec(side: str, **changes: object) -> Callable[[Any], Any]:
    """Change the first tensor of a manifest's or graph's inputs or outputs."""

    def change(owner: Any) -> Any:
        first, *rest = getattr(owner, side)
        return dataclasses.replace(owner, **{side: (dataclasses.replace(first, **changes), *rest)})

    return change


def _last_graph(change: Callable[[GraphEntry], GraphEntry]) -> Change:
    return lambda manifest: dataclasses.replace(manifest, graphs=(*manifest.graphs[:-1], change(manifest.graphs[-1])))


def _wider(owner: Any) -> Any:
    """Set a dimension of the last output to 2^50."""
    shape: tuple[object, ...] = (*owner.outputs[0].shape[:-1], HUGE)
    return _spec("outputs", shape=shape)(owner)


def _swapped(manifest: Manifest) -> Manifest:
    one, other, *rest = manifest.graphs
    one, other = dataclasses.replace(one, files=other.files), dataclasses.replace(other, files=one.files)
    return dataclasses.replace(manifest, graphs=(one, other, *rest))


def _two_calls(change: Callable[[Any], Any]) -> Change:
    """Make the same change of the last call in the plan and in the manifest."""

    def both(manifest: Manifest) -> Manifest:
        plan = dataclasses.replace(manifest.plan, calls=(*manifest.plan.calls[:-1], change(manifest.plan.calls[-1])))
        return dataclasses.replace(manifest, plan=plan, calls=(*manifest.calls[:-1], change(manifest.calls[-1])))

    return both


def _region(region: Region) -> Change:
    def change(call: Any) -> Any:
        first, *rest = call.inputs
        source = first.sources[0]
        cut = dataclasses.replace(first, sources=(Source(source.producer, source.tensor, region),))
        return dataclasses.replace(call, inputs=(cut, *rest))

    return _two_calls(change)


CONTRADICTIONS: list[tuple[str, Change, str]] = [
    ("answer's dtype", _spec("outputs", dtype="int32"), r"output y is int32 .*, its graph gives float32"),
    ("answer's rank", _spec("outputs", shape=(1,)), "output y is float32 1, its graph gives"),
    ("answer's size", _wider, f"output y is float32 .*{HUGE}, its graph gives"),
    ("graph's dtype", _last_graph(_spec("outputs", dtype="int32")), "y is float32 .*, its graph gives int32"),
    ("both dtypes", lambda m: _spec("outputs", dtype="int32")(_last_graph(_spec("outputs", dtype="int32"))(m)),
     r"gives y as float32 .*, the manifest says int32"),
    ("both sizes", lambda m: _wider(_last_graph(_wider)(m)), f"gives y as .*, the manifest says float32 .*{HUGE}"),
    ("input's dtype", _spec("inputs", dtype="float64"), "takes x as float32 .*, it is made as float64"),
    ("input's name", first_graph(_spec("inputs", name="z")), "call c0 does not fit graph f0-g0"),
    ("graph's input", first_graph(_spec("inputs", dtype="float64")), "takes x as float64 .*, it is made as float32"),
    ("files swapped", _swapped, "the manifest says"),
    ("region outside", _region(Region(0, 0, HUGE)), "region|elements|axis"),
    ("negative axis", _region(Region(-1, 0, 1)), "there is no region"),
    ("threads", lambda m: dataclasses.replace(m, plan=dataclasses.replace(m.plan, functions=tuple(
        dataclasses.replace(function, threads=1 << 16) for function in m.plan.functions))), "within reason"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [case[1:] for case in CONTRADICTIONS], ids=[c[0] for c in CONTRADICTIONS])
def test_a_manifest_that_contradicts_its_graphs_is_refused(bundle: Bundle, change: Change, says: str) -> None:
    rewrite(bundle, change)
    with pytest.raises(BundleError, match=says) as caught:
        open_bundle(bundle.root)
    assert "\n" not in str(caught.value)


def _rehashed(bundle: Bundle, number: int = 0) -> None:
    """Set the manifest's digests and sizes of a graph's files to those that the files have now."""

    def again(graph: GraphEntry) -> GraphEntry:
        paths = tuple(bundle.root / entry.path for entry in graph.files)
        return dataclasses.replace(graph, files=file_entries(bundle.root, paths))

    graphs = list(bundle.manifest.graphs)
    graphs[number] = again(graphs[number])
    rewrite(bundle, lambda manifest: dataclasses.replace(manifest, graphs=tuple(graphs)))


def _edit(path: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())


def _external_constant(model: onnx.ModelProto, location: str) -> None:
    """Add a constant with external bytes in a body within a body; ``build`` never writes such a constant."""
    tensor = onnx.TensorProto(name="c", data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    outer = helper.make_graph([helper.make_node("If", ["b"], ["c"], then_branch=inner)], "outer", [], [])
    model.graph.node.append(helper.make_node("If", ["b"], ["c"], then_branch=outer))


@pytest.mark.parametrize("location", ["unlisted.bin", "../outside.bin", "/etc/hostname", "*/_ORT_MEM_ADDR_/*", ""])
def test_a_graph_names_no_file_that_is_not_listed(bundle: Bundle, location: str) -> None:
    (bundle.root / "graphs" / "unlisted.bin").write_bytes(bytes(8))
    _edit(bundle.root / bundle.manifest.graphs[0].files[0].path, lambda model: _external_constant(model, location))
    _rehashed(bundle)
    with pytest.raises(BundleError, match="which the manifest does not list with it"):
        open_bundle(bundle.root)


def test_a_graph_names_each_file_that_is_listed(bundle: Bundle) -> None:
    (bundle.root / "more.bin").write_bytes(b"x")
    more = file_entries(bundle.root, (bundle.root / "more.bin",))
    rewrite(bundle, first_graph(lambda graph: dataclasses.replace(graph, files=(*graph.files, *more))))
    with pytest.raises(BundleError, match=r"does not name the file 'more\.bin'"):
        open_bundle(bundle.root)


def test_a_graph_names_no_bytes_beyond_its_file(bundle: Bundle) -> None:
    """The engine maps the range that is declared: beyond the file's end, the process is killed."""
    index, graph = next((i, graph) for i, graph in enumerate(bundle.manifest.graphs) if graph.files[1].bytes)
    path = bundle.root / graph.files[1].path
    path.write_bytes(path.read_bytes()[:-1])
    _rehashed(bundle, index)
    with pytest.raises(BundleError, match=r"it names \d+ bytes of the file"):
        open_bundle(bundle.root)


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder"])
def test_no_file_of_another_kind_is_waited_for(bundle: Bundle, kind: str) -> None:
    for entry in [*(entry.path for entry in listed(bundle)), MANIFEST]:
        path = bundle.root / entry
        whole = path.read_bytes()
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            os.mknod(path, stat.S_IFSOCK)
        for check in (True, False):
            with pytest.raises(BundleError, match="Is a directory" if kind == "folder" else "Not a regular file"):
                open_bundle(bundle.root, check=check)
        path.rmdir() if kind == "folder" else path.unlink()
        path.write_bytes(whole)


def test_no_file_has_a_second_name(bundle: Bundle, tmp_path: Path) -> None:
    """A hard link would allow changing the file without the bundle's path."""
    for entry in listed(bundle):
        path = bundle.root / entry.path
        os.link(path, tmp_path / "another-name")
        with pytest.raises(BundleError, match="several hard links"):
            open_bundle(bundle.root)
        (tmp_path / "another-name").unlink()
    open_bundle(bundle.root)


@pytest.mark.parametrize("name", small_names())
def test_interfaces_are_those_that_onnx_reads(name: str) -> None:
    path = materialise(name)
    found = interface_of(path.read_bytes())
    assert (found.inputs, found.outputs) == read_interface(path)


def test_what_a_file_says_twice_does_not_count_once() -> None:
    """Readers merge such messages, or use the last: the checked content would differ from the loaded one."""
    value = helper.make_tensor_value_info("x", 1, [2])
    graph = helper.make_graph([], "g", [value], [value])
    data = helper.make_model(graph).SerializeToString()
    assert interface_of(data).inputs == (TensorSpec("x", "float32", (2,)),)
    more = helper.make_model(helper.make_graph([], "g", [], [helper.make_tensor_value_info("y", 6, [3])]))
    with pytest.raises(ValueError, match="2 times"):
        interface_of(data + more.SerializeToString())


def test_a_bundle_with_matrices_left_plain_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain matrices are inputs of the packed graph with initializers: requests need not provide them."""
    monkeypatch.setattr(plain, "_LEAST_BYTES", 1)
    bundle = built(materialise("mlp"), tmp_path / "bundle")
    packed = [bundle.runnable(graph)[0] for graph in bundle.manifest.graphs]
    assert any(len(onnx.load(path, load_external_data=False).graph.input) > 1 for path in packed), "none is plain"

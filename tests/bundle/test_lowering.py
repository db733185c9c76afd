"""Regions, joins and several steps of a function: tensors that the plan splits are joined again correctly."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from mopar.bundle import Bundle, build, open_bundle
from mopar.bundle.calls import form_of
from mopar.bundle.lowering import apply_form, lower_call
from mopar.gateway.arrays import Array
from mopar.graph import Model, boundary, layers_of, load_model, tensor_shapes
from mopar.measurement.recording import record
from mopar.types import (
    REQUEST,
    BundleError,
    Call,
    CallInput,
    Graph,
    Plan,
    Region,
    RequestError,
    Source,
    TensorSpec,
)
from tests.bundle.plans import chain, plan_of, some_cuts
from tests.graph.composed import assert_equal, run_file, run_part
from tests.models import sample_inputs
from tests.models.builder import Builder


def opened(model: Model, plan: Plan, out: Path) -> Bundle:
    build(model, plan, out)
    return open_bundle(out)


def rejoined(model: Model, plan: Plan, axis: int) -> tuple[Plan, int]:
    """The plan with every input that can be cut along ``axis`` read as two regions and joined; and their number."""
    shapes, count, calls = tensor_shapes(model), 0, []
    for call in plan.calls:
        inputs = []
        for item in call.inputs:
            dims = shapes[item.tensor].shape or ()
            size = dims[axis] if axis < len(dims) else None
            if isinstance(size, int) and size > 1:
                count += 1
                (source,) = item.sources
                halves = (Region(axis, 0, size // 2), Region(axis, size // 2, size, size))
                sources = tuple(dataclasses.replace(source, region=region) for region in halves)
                inputs.append(CallInput(item.tensor, sources, "concat", axis))
            else:
                inputs.append(item)
        calls.append(dataclasses.replace(call, inputs=tuple(inputs)))
    return dataclasses.replace(plan, calls=tuple(calls)), count


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("skip", 1),
        ("if_capture", 1),
        ("loop_capture", 1),
        ("lstm", 0),
        ("lstm", 2),
        ("conv_chain", 1),
        ("conv_chain", 3),
    ],
)
def test_tensors_cut_and_joined_are_what_they_were(
    reference: Callable[[str], Path], tmp_path: Path, name: str, axis: int
) -> None:
    """Along any axis, and also where only the body of an If or a Loop reads the tensor."""
    model = load_model(reference(name))
    plan, count = rejoined(model, chain(model, some_cuts(model, 2)), axis)
    assert count > 0
    feeds, bundle = sample_inputs(name), opened(model, plan, tmp_path / "b")
    assert_equal(record(bundle, feeds).outputs, run_file(reference(name), feeds), f"{name} along axis {axis}")
    for graph in bundle.manifest.graphs:
        assert_in_order(bundle.root / graph.files[0].path)


def assert_in_order(path: Path) -> None:
    """Check that nodes read tensors of earlier nodes: the engine would sort nodes itself, other tools would not."""
    graph = onnx.load(path, load_external_data=False).graph
    known = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    for node in graph.node:
        assert set(node.input) <= known
        known.update(node.output)


def rows(path: Path, opset: int = 20, shape: tuple[int | str, int | str] = ("batch", "width")) -> Path:
    """Two layers with independent rows; ``wide`` is elementwise, so that its columns are independent too."""
    g = Builder("rows")
    x = g.add("Tanh", g.input("x", list(shape)), output="wide")
    x = g.add("Relu", g.add("MatMul", x, g.weight(16, 12)), output="middle")
    g.add("MatMul", x, g.weight(12, 4), output="y")
    g.output("y", [shape[0], 4])
    model = g.model()
    model.opset_import[0].version = opset
    path.write_bytes(model.SerializeToString())
    return path


def piece(model: Model, number: int, start: int, stop: int) -> Graph:
    inputs, outputs = boundary(model, layers_of(model), start, stop)
    return Graph(f"g{number}", start, stop, tuple(x.name for x in inputs), tuple(x.name for x in outputs))


def cut_before(model: Model, tensor: str) -> int:
    """The layer after the one that produces a tensor."""
    for layer in layers_of(model):
        if any(out.name == tensor for node in model.nodes[layer.start : layer.stop] for out in node.outputs):
            return layer.index + 1
    raise AssertionError(tensor)


def halves_of(model: Model, tensor: str, axis: int, sizes: Sequence[int]) -> Plan:
    """Call the first function on parts of ``x`` along ``axis``; the second joins their outputs."""
    place = cut_before(model, tensor)
    graphs = [piece(model, 0, 0, place), piece(model, 1, place, len(layers_of(model)))]
    bounds = list(itertools.pairwise([0, *itertools.accumulate(sizes)]))
    calls = [
        Call(
            f"c{number}",
            "f0",
            "g0",
            (CallInput("x", (Source(REQUEST, "x", Region(axis, start, stop, sum(sizes))),)),),
            (tensor,),
        )
        for number, (start, stop) in enumerate(bounds)
    ]
    joined = CallInput(tensor, tuple(Source(call.id, tensor) for call in calls), "concat", axis)
    calls.append(Call("last", "f1", "g1", (joined,), ("y",)))
    return plan_of(model, graphs, calls, {"y": "last"})


@pytest.mark.parametrize("opset", [9, 20])
@pytest.mark.parametrize(("tensor", "axis", "sizes", "graphs"), [("middle", 0, (1, 3, 2), 1), ("wide", 1, (5, 11), 2)])
def test_one_function_called_on_parts_of_a_tensor(
    tmp_path: Path, opset: int, tensor: str, axis: int, sizes: tuple[int, ...], graphs: int
) -> None:
    """Along the first axis the parts are read in place, by one graph; along another, each by a graph that slices it.

    Slice takes its bounds as attributes in old opsets, and as inputs in new ones.
    """
    path = rows(tmp_path / "rows.onnx", opset)
    model = load_model(path)
    bundle = opened(model, halves_of(model, tensor, axis, sizes), tmp_path / "b")
    assert len(bundle.graphs_of("f0")) == graphs
    feeds: dict[str, Array] = {"x": np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)}
    recording = record(bundle, feeds)
    assert len(recording.calls["f0"]) == len(sizes)
    assert_equal(recording.outputs, run_file(path, feeds), tensor)


@pytest.mark.parametrize("batch", [5, 7])
def test_a_plan_made_for_one_size_refuses_another(tmp_path: Path, batch: int) -> None:
    """It would compute too few rows, or read memory beyond the tensor."""
    model = load_model(rows(tmp_path / "rows.onnx"))
    bundle = opened(model, halves_of(model, "middle", 0, (4, 2)), tmp_path / "b")
    with pytest.raises(RequestError, match=f"tensor x has {batch} elements along axis 0, this plan needs 6"):
        record(bundle, {"x": np.zeros((batch, 16), np.float32)})
    wide = opened(model, halves_of(model, "wide", 1, (16, 4)), tmp_path / "wide")
    with pytest.raises(RequestError, match="tensor x has 16 elements along axis 1, this plan needs 20"):
        record(wide, {"x": np.zeros((batch, 16), np.float32)})


def test_a_region_without_a_size_needs_no_more_than_it_takes(tmp_path: Path) -> None:
    """The first two rows, whatever the number of rows."""
    model = load_model(rows(tmp_path / "rows.onnx"))
    first = CallInput("x", (Source(REQUEST, "x", Region(0, 0, 2)),))
    plan = chain(model)
    bundle = opened(
        model, dataclasses.replace(plan, calls=(dataclasses.replace(plan.calls[0], inputs=(first,)),)), tmp_path / "b"
    )
    feeds: dict[str, Array] = {"x": np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)}
    want = run_file(tmp_path / "rows.onnx", {"x": feeds["x"][:2]})
    assert_equal(record(bundle, feeds).outputs, want, "two rows")
    with pytest.raises(RequestError, match="x has 1 elements along axis 0, this plan needs 2 at least"):
        record(bundle, {"x": feeds["x"][:1]})


def test_sources_are_summed(tmp_path: Path) -> None:
    """Compared with the same sum computed outside."""
    path = rows(tmp_path / "rows.onnx")
    model = load_model(path)
    place, layers = cut_before(model, "middle"), layers_of(model)
    graphs = [piece(model, 0, 0, place), piece(model, 1, place, len(layers))]
    regions = Region(0, 0, 2, 4), Region(0, 2, 4, 4)
    calls = [
        Call(f"c{number}", "f0", "g0", (CallInput("x", (Source(REQUEST, "x", region),)),), ("middle",))
        for number, region in enumerate(regions)
    ]
    summed = CallInput("middle", tuple(Source(call.id, "middle") for call in calls), "sum")
    calls.append(Call("last", "f1", "g1", (summed,), ("y",)))
    x = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    parts: list[Array] = []
    for half in (x[:2], x[2:]):
        known: dict[str, Array] = {"x": half}
        run_part(model, layers, 0, place, known)
        parts.append(known["middle"])
    known = {"middle": (parts[0] + parts[1]).astype(np.float32)}
    run_part(model, layers, place, len(layers), known)
    bundle = opened(model, plan_of(model, graphs, calls, {"y": "last"}), tmp_path / "b")
    assert_equal(record(bundle, {"x": x}).outputs, {"y": known["y"]}, "sum")


def test_one_function_runs_several_steps(reference: Callable[[str], Path], tmp_path: Path) -> None:
    """It runs every other graph; tensors are read from much earlier steps."""
    model = load_model(reference("skip"))
    plan = chain(model, some_cuts(model, 4))
    assert len(plan.calls) == 5
    calls = [dataclasses.replace(call, function=f"f{number % 2}") for number, call in enumerate(plan.calls)]
    steps = plan_of(model, plan.graphs, calls, dict(plan.outputs))
    bundle = opened(model, steps, tmp_path / "b")
    assert [len(bundle.graphs_of(function)) for function in ("f0", "f1")] == [3, 2]
    feeds = sample_inputs("skip")
    assert_equal(record(bundle, feeds).outputs, run_file(reference("skip"), feeds), "steps")


def test_what_is_joined_keeps_its_shape(tmp_path: Path) -> None:
    """The number of rows that are multiplied by a matrix decides whether the matrix is packed."""
    g = Builder("joined")
    g.add("MatMul", g.input("x", [1, 8]), g.weight(8, 8), output="y")
    g.output("y", [1, 8])
    g.save(tmp_path / "model.onnx")
    model = load_model(tmp_path / "model.onnx")
    apply_form(model.ir, (form_of(CallInput("x", (Source("a", "x"), Source("b", "x")), "concat", 1)),))
    (product,) = (node for node in model.ir.graph if node.op_type == "MatMul")
    assert product.inputs[0] is not None
    assert product.inputs[0].shape == [1, 8]


def test_strings_are_cut_by_the_graph(tmp_path: Path) -> None:
    """The position of an element depends on those before it."""
    g = Builder("texts")
    words = g.input("x", ["n"], TensorProto.STRING)
    g.add("Cast", words, to=TensorProto.FLOAT, output="numbers")
    g.add("Neg", "numbers", output="y")
    g.output("y", ["n"])
    g.save(tmp_path / "texts.onnx")
    model = load_model(tmp_path / "texts.onnx")
    bundle = opened(model, halves_of(model, "numbers", 0, (1, 2)), tmp_path / "b")
    got = record(bundle, {"x": np.array(["1.5", "-20000", "3"], object)}).outputs
    assert got["y"].tolist() == [-1.5, 20000.0, -3.0]


def taking(region: Region) -> Call:
    return Call("c", "f", "g", (CallInput("x", (Source(REQUEST, "x", region),)),), ("y",))


@pytest.mark.parametrize(
    ("dtype", "shape", "region", "in_place"),
    [
        ("float32", ("n", 4), Region(0, 1, 2), True),
        ("float32", (1, 1, "n"), Region(2, 1, 2), True),
        ("float32", ("n", "m"), Region(1, 1, 2), False),
        ("float32", None, Region(0, 1, 2), False),
        ("string", ("n",), Region(0, 1, 2), False),
        ("int4", ("n", 3), Region(0, 1, 2), False),
    ],
)
def test_a_part_is_read_in_place_where_it_is_one_stretch_of_bytes(
    dtype: str, shape: tuple[int | str, ...] | None, region: Region, in_place: bool
) -> None:
    lowered = lower_call(taking(region), {"x": TensorSpec("x", dtype, shape)})
    assert (lowered.form == ()) == in_place
    assert (lowered.call.inputs[0].sources[0].region == region) == in_place


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(0, 2, 2), "no region from 2 to 2"),
        (Region(0, -1, 2), "no region from -1 to 2"),
        (Region(2, 0, 1), "has no axis 2: it is nx4"),
        (Region(-1, 0, 4), "has no axis -1"),
        (Region(1, 0, 2), "takes 4 elements along axis 1, not 2"),
    ],
)
def test_a_region_that_cannot_be_is_refused_when_it_is_built(region: Region, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        lower_call(taking(region), {"x": TensorSpec("x", "float32", ("n", 4))})

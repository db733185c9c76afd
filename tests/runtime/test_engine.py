"""mopar's binding of ONNX Runtime's C API computes the same as the engine's Python binding."""

import os
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from mopar.platforms.local.library import engine_library
from mopar.runtime.capi import Api
from mopar.runtime.engine import Engine, OrtError, Session
from mopar.types import DTYPES, TensorValue, dtype_of_name
from tests.models import sample_inputs, small_names
from tests.runtime.running import Array, Place, Port, answers, load, room, save

X: Port = ("x", "float32", None)
Y: Port = ("y", "float32", None)
COPY = helper.make_node("Identity", ["x"], ["y"])
ENGINE_TYPES = [dtype.name for dtype in DTYPES if not dtype.name.startswith("complex") and dtype.bits != 4]
"""ONNX Runtime has no complex tensors, and no Identity of 4-bit ones."""
TEXTS = np.array([["", "a\0b"], ["ünï ☃", "x" * 300]], object)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(str(engine_library()), 1)


def python_answers(path: Path, feeds: dict[str, Array]) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [np.asarray(made) for made in session.run(None, feeds)]


def assert_same(got: Array, want: Array) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype == object:
        assert got.tolist() == want.tolist()
    else:
        assert got.tobytes() == want.tobytes()


def samples(dtype: str) -> Array:
    if dtype == "string":
        return TEXTS
    kind: np.dtype[np.generic] = np.dtype(getattr(ml_dtypes, dtype, dtype))
    return np.array([[0, 1, 2], [3, 5, 7]]).astype(kind)


@pytest.mark.parametrize("dtype", ENGINE_TYPES)
@pytest.mark.parametrize("bound", [True, False])
def test_every_element_type_passes_unchanged(engine: Engine, tmp_path: Path, dtype: str, bound: bool) -> None:
    """Into and out of the engine, to a given place or fetched afterwards."""
    path = save(tmp_path / "m.onnx", [COPY], [("x", dtype, None)], [("y", dtype, None)])
    session = load(engine, path)
    for value in (samples(dtype), samples(dtype)[:1, :1].reshape(()), samples(dtype)[:0]):
        place = room("y", dtype, value.shape) if bound and dtype != "string" else None
        (got,) = answers(session, [value], [place])
        assert_same(got, value)


FLOATS = ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint16", "int64", "bool", "string"])
def test_casts_give_what_the_type_says(engine: Engine, tmp_path: Path, dtype: str) -> None:
    """Distinguishes types of the same width, which copying bytes would not."""
    node = helper.make_node("Cast", ["x"], ["y"], to=dtype_of_name(dtype).code)
    session = load(engine, save(tmp_path / "m.onnx", [node], [X], [("y", dtype, None)]))
    value = np.array([0.0, 1.0, 2.0, 96.0], np.float32)
    (got,) = answers(session, [value], [None])
    want = (
        np.array(["0", "1", "2", "96"], object) if dtype == "string" else value.astype(getattr(ml_dtypes, dtype, dtype))
    )
    assert_same(got, want)


@pytest.mark.parametrize("dtype", ["int4", "uint4"])
def test_elements_of_four_bits_share_bytes(engine: Engine, tmp_path: Path, dtype: str) -> None:
    """An odd number of them ends in half a byte."""
    widen = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT8)
    narrow = helper.make_node("Cast", ["y"], ["z"], to=dtype_of_name(dtype).code)
    ports: list[Port] = [("x", dtype, None), ("y", "int8", None), ("z", dtype, None)]
    session = load(engine, save(tmp_path / "m.onnx", [widen, narrow], ports[:1], ports[1:]))
    for value in (samples(dtype).reshape(-1)[:5], samples(dtype)[:0]):
        for place in (room("z", dtype, value.shape), None):
            wide, back = answers(session, [value], [None, place])
            assert_same(wide, value.astype(np.int8))
            assert_same(back, value)


@given(
    value=hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)), bound=st.booleans()
)
def test_any_shape_is_computed_as_the_python_binding_does(
    negate: tuple[Path, Session], value: Array, bound: bool
) -> None:
    path, session = negate
    (got,) = answers(session, [value], [room("y", "float32", value.shape) if bound else None])
    (want,) = python_answers(path, {"x": value})
    assert_same(got, want)


@pytest.fixture(scope="module")
def negate(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Session]:
    path = save(tmp_path_factory.mktemp("negate") / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], [X], [Y])
    return path, load(engine, path)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=6))
def test_any_strings_come_back(identity: Session, texts: list[str]) -> None:
    value = np.array(texts, object)
    (got,) = answers(identity, [value], [None])
    assert_same(got, value)


@pytest.fixture(scope="module")
def identity(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Session:
    path = tmp_path_factory.mktemp("identity") / "m.onnx"
    return load(engine, save(path, [COPY], [("x", "string", None)], [("y", "string", None)]))


@pytest.mark.parametrize("bound", [True, False])
def test_strings_are_an_input_like_any_other(engine: Engine, tmp_path: Path, bound: bool) -> None:
    node = helper.make_node("Equal", ["x", "x"], ["y"])
    path = save(tmp_path / "m.onnx", [node], [("x", "string", None)], [("y", "bool", None)])
    (got,) = answers(load(engine, path), [TEXTS], [room("y", "bool", (2, 2)) if bound else None])
    assert_same(got, np.ones((2, 2), bool))


@pytest.mark.parametrize(
    ("packed", "message"),
    [(b"\3\0\0\0ab", "overruns"), (b"\3\0", "cut off"), (b"\1\0\0\0a", "1 strings"), (b"\0\0\0\0" * 3, "3 strings")],
)
def test_strings_that_do_not_fit_are_an_error(identity: Session, packed: bytes, message: str) -> None:
    """Neither a crash of the worker nor empty strings in place of missing ones."""
    value = Place(TensorValue("x", "string", (2,), packed))
    with pytest.raises(OrtError, match=message):
        identity.bind([value.tensor()], [None])


def test_an_output_that_is_folded_to_a_constant_reaches_its_place(engine: Engine, tmp_path: Path) -> None:
    """The engine keeps it among its weights; its place must still be written."""
    want = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(want)),
        helper.make_node("Identity", ["c"], ["y"]),
        helper.make_node("Neg", ["x"], ["z"]),
    ]
    session = load(engine, save(tmp_path / "m.onnx", nodes, [X], [Y, ("z", "float32", None)]))
    value = np.ones(2, np.float32)
    for place in (room("y", "float32", (2, 3)), None):
        got = answers(session, [value], [place, None])
        assert_same(got[0], want)
        assert_same(got[1], -value)
    with pytest.raises(OrtError):
        answers(session, [value], [room("y", "float32", (2, 2)), None])


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("bound", [True, False])
def test_outputs_that_alias_an_input_or_each_other_are_copied(
    engine: Engine, tmp_path: Path, optimize: bool, bound: bool
) -> None:
    """Reshape, Squeeze and Identity run no kernel inside a graph; at its outputs they do."""
    nodes = [
        helper.make_node("Constant", [], ["flat"], value=numpy_helper.from_array(np.array([-1], np.int64))),
        helper.make_node("Reshape", ["x", "flat"], ["reshaped"]),
        helper.make_node("Squeeze", ["x"], ["squeezed"]),
        helper.make_node("Identity", ["x"], ["copied"]),
        helper.make_node("Neg", ["copied"], ["negated"]),
        helper.make_node("Identity", ["negated"], ["again"]),
    ]
    names = ["reshaped", "squeezed", "copied", "negated", "again"]
    path = save(tmp_path / "m.onnx", nodes, [X], [(name, "float32", None) for name in names])
    value = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    want = [value.reshape(-1), value.reshape(2, 3), value, -value, -value]
    places = [room(name, "float32", array.shape) if bound else None for name, array in zip(names, want, strict=True)]
    for got, expected in zip(answers(load(engine, path, optimize=optimize), [value], places), want, strict=True):
        assert_same(got, expected)


def test_the_size_of_an_output_may_depend_on_values(engine: Engine, tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("NonZero", ["x"], ["y"])], [X], [("y", "int64", None)])
    session = load(engine, path)
    for value in (np.eye(3, dtype=np.float32), np.zeros((2, 2), np.float32), np.array(1.0, np.float32)):
        (got,) = answers(session, [value], [None])
        assert_same(got, python_answers(path, {"x": value})[0])


@pytest.mark.parametrize("place", [("float32", (3,)), ("float32", (2, 1)), ("float32", ()), ("int32", (2,))])
def test_a_place_of_the_wrong_shape_or_type_is_an_error(
    negate: tuple[Path, Session], place: tuple[str, tuple[int, ...]]
) -> None:
    """And the session can run the next call."""
    value = np.ones(2, np.float32)
    with pytest.raises(OrtError):
        answers(negate[1], [value], [room("y", *place)])
    assert_same(answers(negate[1], [value], [None])[0], -value)


def test_a_place_that_is_too_small_for_its_shape_is_an_error(negate: tuple[Path, Session]) -> None:
    small = room("y", "float32", (2,)).tensor()
    small.shape = (200,)
    with pytest.raises(OrtError):
        negate[1].bind([Place(TensorValue("x", "float32", (200,), bytes(800))).tensor()], [small])


def test_a_sequence_or_optional_cannot_leave_a_function(engine: Engine, tmp_path: Path) -> None:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    sequence = helper.make_sequence_type_proto(tensor)
    for operator, kind in (("SequenceConstruct", sequence), ("Optional", helper.make_optional_type_proto(tensor))):
        node = helper.make_node(operator, ["x"], ["y"])
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
            [helper.make_value_info("y", kind)],
        )
        path = tmp_path / f"{operator}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
        session = load(engine, path)
        bound = session.bind([Place(TensorValue("x", "float32", (2,), bytes(8))).tensor()], [None])
        bound.run()
        if operator == "SequenceConstruct":
            with pytest.raises(OrtError, match="only tensors can leave"):
                bound.describe(0)
        else:  # the engine returns an optional tensor as the tensor
            assert bound.describe(0).shape == (2,)
        bound.close()


@pytest.mark.parametrize("name", small_names())
def test_whole_models_answer_as_in_python(engine: Engine, reference: Callable[[str], Path], name: str) -> None:
    """With every output in a given place: LSTM, If and Loop write some of theirs in special ways."""
    path, feeds = reference(name), sample_inputs(name)
    want = python_answers(path, feeds)
    session = load(engine, path)
    names = [value.name for value in onnx.load(path, load_external_data=False).graph.output]
    places = [room(output, array.dtype.name, array.shape) for output, array in zip(names, want, strict=True)]
    order = [value.name for value in onnx.load(path, load_external_data=False).graph.input]
    for chosen in (places, [None] * len(places)):
        for got, expected in zip(answers(session, [feeds[key] for key in order], chosen), want, strict=True):
            assert_same(got, expected)


def test_names_and_paths_may_hold_any_character(engine: Engine, tmp_path: Path) -> None:
    """Also bytes that are not UTF-8, which Linux allows in a path."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xc3\xbc"))
    folder.mkdir()
    x, y = "in/0:ü ☃", "out put\n"
    path = save(folder / "m.onnx", [helper.make_node("Neg", [x], [y])], [(x, "float32", None)], [(y, "float32", None)])
    assert_same(answers(load(engine, path), [np.ones(1, np.float32)], [None])[0], -np.ones(1, np.float32))


def test_what_the_engine_refuses_is_an_error_with_its_words(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(OrtError, match=r"absent\.onnx"):
        engine.load(
            str(tmp_path / "absent.onnx"), (), (), optimize=True, prepack=True, arena=False, memory_pattern=False
        )
    path = save(tmp_path / "m.onnx", [helper.make_node("NoSuchOperator", ["x"], ["y"])], [X], [Y])
    with pytest.raises(OrtError, match="NoSuchOperator"):
        load(engine, path)
    other = tmp_path / "libother.so"
    other.write_bytes(b"no library")
    with pytest.raises(OrtError, match=r"libother\.so: not a library of ONNX Runtime"):
        Api(str(other))


def test_a_refused_run_is_said_once(engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Only as the error: a function's log goes to the gateway's, where a caller's mistake does not belong."""
    session = load(engine, save(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "x"], ["y"])], [X], [Y]))
    with pytest.raises(OrtError, match="MatMul"):
        answers(session, [np.ones((2, 3), np.float32)], [None])
    assert capfd.readouterr() == ("", "")

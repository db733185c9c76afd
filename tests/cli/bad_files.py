"""Files that are not what a command expects. Each function writes into a folder and returns the path."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.cli.harness import Place
from tests.graph import tiny
from tests.models import materialise


def written(content: bytes, name: str = "bad.onnx") -> Callable[[Place], Path]:
    """A file with these bytes."""

    def make(place: Place) -> Path:
        path = place.room / name
        path.write_bytes(content)
        return path

    return make


def missing(place: Place) -> Path:
    return place.room / "absent.onnx"


def folder(place: Place) -> Path:
    path = place.room / "folder.onnx"
    path.mkdir()
    return path


def fifo(place: Place) -> Path:
    """A named pipe without a writer: opening it like a file blocks forever."""
    path = place.room / "pipe.toml"
    os.mkfifo(path)
    return path


def overdrawn(make: Callable[[Path], Path]) -> Callable[[Place], Path]:
    """A model of ``overdrawn``, which stands for more than any machine has."""
    return lambda place: make(place.room)


def bomb(place: Place) -> Path:
    """A small file of an array with more bytes than the machine."""
    path = place.room / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 45,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("user.npy", header.getvalue() + bytes(1 << 20))
    return path


def truncated(place: Place) -> Path:
    path = place.room / "half.onnx"
    path.write_bytes(place.model.read_bytes()[: place.model.stat().st_size // 2])
    return path


def external(location: str, content: bytes | None = None) -> Callable[[Place], Path]:
    """A model whose weights are declared to be at ``location``, while the file there has only ``content``."""

    def make(place: Place) -> Path:
        home = place.room / "model"
        home.mkdir()
        path, _ = tiny.external(home)
        (home / "weights.bin").unlink()
        model = onnx.load(path, load_external_data=False)
        for entry in (entry for tensor in model.graph.initializer for entry in tensor.external_data):
            if entry.key == "location":
                entry.value = location
        path.write_bytes(model.SerializeToString())
        if content is not None:
            (home / location).resolve().write_bytes(content)
        return path

    return make


def operator(name: str, domain: str = "", opset: int = 17) -> Callable[[Place], Path]:
    """A model with a node of this operator."""

    def make(place: Place) -> Path:
        nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node(name, ["a"], ["y"], domain=domain, name="n1")]
        domains = [("", opset), *([(domain, 1)] if domain else [])]
        path = place.room / "operator.onnx"
        return tiny.save(path, nodes, [tiny.info("x", 2)], [tiny.info("y", 2)], domains=domains)

    return make


def takes_a_sequence(place: Place) -> Path:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    parts = helper.make_value_info("parts", helper.make_sequence_type_proto(element))
    nodes = [helper.make_node("ConcatFromSequence", ["parts"], ["y"], axis=0)]
    return tiny.save(place.room / "sequence.onnx", nodes, [parts], [tiny.info("y", "n")])


def zip_map(place: Place) -> Path:
    """A classifier as scikit-learn's converters write it by default: a row's probabilities are a map."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"]),
        helper.make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
    ]
    value = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    made = helper.make_value_info("probabilities", helper.make_sequence_type_proto(value))
    domains = [("", 17), ("ai.onnx.ml", 3)]
    return tiny.save(place.room / "classifier.onnx", nodes, [tiny.info("x", "n", 2)], [made], domains=domains)


def takes_a_map(place: Place) -> Path:
    value = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    words = helper.make_value_info("words", value)
    nodes = [helper.make_node("DictVectorizer", ["words"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])]
    domains = [("", 17), ("ai.onnx.ml", 3)]
    return tiny.save(place.room / "words.onnx", nodes, [words], [tiny.info("y", 1, 2)], domains=domains)


def dynamic(_: Place) -> Path:
    return materialise("symbolic")


def dynamic_pair(place: Place) -> Path:
    """Two inputs that share the size of a dimension."""
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    inputs = [tiny.info("a", "n", 2), tiny.info("b", "n", 2)]
    return tiny.save(place.room / "pair.onnx", nodes, inputs, [tiny.info("y", "n", 2)])


def npz(name: str = "bad.npz", **arrays: np.ndarray) -> Callable[[Place], Path]:
    """A file of these arrays."""

    def make(place: Place) -> Path:
        np.savez(place.room / name, **arrays)  # type: ignore[arg-type]
        return place.room / name

    return make


def npy(place: Place) -> Path:
    path = place.room / "bad.npy"
    np.save(path, np.zeros((1, 16), np.float32))
    return path


def changed(source: str, change: Callable[[Any], Any]) -> Callable[[Place], Path]:
    """A JSON file of the pipeline, changed by hand."""

    def make(place: Place) -> Path:
        document = json.loads((place.work / source).read_bytes())
        path = place.room / source
        path.write_text(json.dumps(change(document)))
        return path

    return make


def tampered(change: Callable[[Path], object]) -> Callable[[Place], Path]:
    """A copy of the bundle, changed by hand."""

    def make(place: Place) -> Path:
        copy = place.room / "bundle"
        shutil.copytree(place.bundle, copy)
        change(copy)
        return copy

    return make


def flip_a_byte(bundle: Path) -> None:
    path = max(bundle.glob("graphs/*"), key=lambda file: file.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove_a_file(bundle: Path) -> None:
    min(bundle.glob("graphs/*.onnx")).unlink()


def leave_the_folder(bundle: Path) -> None:
    """A manifest that names an existing file outside the bundle."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_bytes())
    entry = manifest["graphs"][0]["files"][0]
    shutil.copyfile(bundle / entry["path"], bundle.parent / "outside.onnx")
    entry["path"] = "../outside.onnx"
    path.write_text(json.dumps(manifest))


def older_version(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "schema": 0}))


def pipe_as_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")


def answers_another_type(bundle: Path) -> None:
    """A manifest that declares integers for a graph of floats."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["outputs"][0]["dtype"] = manifest["graphs"][-1]["outputs"][0]["dtype"] = "int32"
    path.write_text(json.dumps(manifest))


def no_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").write_text("{")

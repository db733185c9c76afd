"""Tampered copies of a bundle: fields of its manifest, its files, or both, also with matching digests."""

import copy
import json
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx

from mopar.bundle import MANIFEST
from mopar.files import sha256_of

NUMBERS = (0, 1, -1, 2, 7, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 50, (1 << 63) - 1, -(1 << 63), 1 << 64)
TEXTS = (
    "",
    "int32",
    "int64",
    "float32",
    "float16",
    "string",
    "request",
    "../../etc/hostname",
    "a\0b",
    "\u202e",
    "x" * 9999,
)
_FILE_CHANGES = (
    "flip", "flip", "cut", "grow", "empty", "swap", "fifo", "socket", "folder", "link", "outside", "hard", "gone",
)  # fmt: skip
_MIXES = (
    ("manifest",),
    ("manifest",),
    ("manifest", "manifest"),
    ("file",),
    ("file",),
    ("graph",),
    ("graph",),
    ("manifest", "graph"),
)

Place = tuple[Any, Any]
"""A list or object of a JSON document, and a key in it."""


def changed(bundle: Path, target: Path, rng: random.Random) -> str:
    """Copy a bundle to ``target`` and change it; return a description. Files are rehashed in most cases."""
    shutil.copytree(bundle, target)
    kinds = rng.choice(_MIXES)
    done = [f"{kind}: {_CHANGES[kind](target, rng)}" for kind in kinds]
    if kinds[0] != "manifest" and rng.random() < 0.75:
        rehash(target)
        done.append("rehashed")
    return "; ".join(done)


def manifest_only(change: str) -> bool:
    """Whether a change left all files as they were: then the outputs must be unchanged."""
    return "file:" not in change and "graph:" not in change


def rehash(bundle: Path) -> None:
    """Set the manifest's sizes and digests to those that the files have now."""
    path = bundle / MANIFEST
    document = json.loads(path.read_bytes())
    for graph in document["graphs"]:
        for entry in (*graph["files"], *((graph["packed"] or {}).get("files", ()))):
            file = bundle / entry["path"]
            if file.is_file():
                entry["bytes"], entry["sha256"] = file.stat().st_size, sha256_of(file)
    path.write_text(json.dumps(document))


def _manifest(bundle: Path, rng: random.Random) -> str:
    path = bundle / MANIFEST
    document = json.loads(path.read_bytes())
    change: Callable[[Any, random.Random], str] = rng.choice(
        (_leaf, _leaf, _sibling, _everywhere, _structure, _tensor, _turned)
    )
    text = change(document, rng)
    path.write_text(json.dumps(document))
    return text


def _places(value: Any, name: str = "") -> Iterator[tuple[str, Place]]:
    """Every place of a document. Predictions and prices, which do not affect outputs, are left out."""
    keys: Any = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        if key in {"predicted", "unsplit", "cuts", "tries", "recipes", "beyond", "slo_ms"}:
            continue
        yield f"{name}.{key}", (value, key)
        yield from _places(value[key], f"{name}.{key}")


def _leaf(document: Any, rng: random.Random) -> str:
    leaves = [(name, place) for name, place in _places(document) if not isinstance(_at(place), dict | list)]
    name, place = rng.choice(leaves)
    before = _at(place)
    place[0][place[1]] = _other(before, leaves, rng)
    return f"{name} {_short(before)} -> {_short(_at(place))}"


def _other(value: Any, leaves: list[tuple[str, Place]], rng: random.Random) -> Any:
    """Another value, mostly of the same kind; a text that occurs elsewhere is most likely to pass checks."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return rng.choice((*NUMBERS, value + 1, value - 1, 0.5, None))
    if isinstance(value, str):
        known = [_at(place) for _, place in leaves if isinstance(_at(place), str)]
        return rng.choice((rng.choice(TEXTS), rng.choice(known), rng.choice(known)))
    return rng.choice((0, 1, "x", [], {}))


def _sibling(document: Any, rng: random.Random) -> str:
    """Swap two values of one name: files of graphs, sources of calls, shapes of tensors."""
    by_key: dict[Any, list[tuple[str, Place]]] = {}
    for name, place in _places(document):
        if isinstance(place[1], str):
            by_key.setdefault(place[1], []).append((name, place))
    key = rng.choice(sorted(key for key, places in by_key.items() if len(places) > 1))
    (one, first), (other, second) = rng.sample(by_key[key], 2)
    a, b = copy.deepcopy(_at(first)), copy.deepcopy(_at(second))
    first[0][first[1]], second[0][second[1]] = b, a
    return f"{one} <-> {other}"


def _everywhere(document: Any, rng: random.Random) -> str:
    """Replace one text or number wherever it occurs under that name: the change is consistent."""
    leaves = [(name, place) for name, place in _places(document) if isinstance(_at(place), str | int)]
    name, place = rng.choice(leaves)
    before, key = _at(place), place[1]
    after = _other(before, leaves, rng)
    for _, (owner, where) in leaves:
        if where == key and owner[where] == before:
            owner[where] = after
    return f"all {name} {_short(before)} -> {_short(after)}"


def _structure(document: Any, rng: random.Random) -> str:
    """Remove an item, duplicate one, or swap two."""
    lists = [(name, _at(place)) for name, place in _places(document) if isinstance(_at(place), list) and _at(place)]
    name, items = rng.choice(lists)
    at = rng.randrange(len(items))
    what = rng.choice(("less", "twice", "turned"))
    if what == "less":
        del items[at]
    elif what == "twice":
        items.append(copy.deepcopy(items[at]))
    else:
        items.reverse()
    return f"{name} {what}"


def _tensor(document: Any, rng: random.Random) -> str:
    """Give a tensor another type of the same width, or permute its sizes, everywhere in the manifest."""
    graphs = document["graphs"]
    specs = [spec for owner in (document, *graphs) for spec in (*owner["inputs"], *owner["outputs"])]
    name = rng.choice(specs)["name"]
    type_only = rng.random() < 0.7
    for spec in (spec for spec in specs if spec["name"] == name):
        if type_only:
            spec["dtype"] = {"float32": "int32", "int64": "float64", "float16": "int16"}.get(spec["dtype"], "uint8")
        elif spec["shape"]:
            spec["shape"].reverse()
    return f"{name} is {'of another type' if type_only else 'turned'} everywhere"


def _turned(document: Any, rng: random.Random) -> str:
    """Swap the files of two graphs, or the graphs of two calls, so that the digests match."""
    graphs, calls = document["graphs"], document["calls"]
    what = rng.choice(("files", "packed", "graph"))
    one, other = rng.sample(calls if what == "graph" else graphs, 2)
    one[what], other[what] = other[what], one[what]
    return f"{what} of {one['id']} <-> {other['id']}"


def _at(place: Place) -> Any:
    return place[0][place[1]]


def _short(value: Any) -> str:
    return repr(value)[:40]


def _files(bundle: Path) -> list[Path]:
    return sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != MANIFEST)


def _file(bundle: Path, rng: random.Random) -> str:
    """Change a file's content, size or kind, or rename it too."""
    files = _files(bundle)
    path, other = rng.sample(files, 2)
    what = rng.choice(
        ("flip", "cut", "grow", "empty", "swap", "fifo", "socket", "folder", "link", "outside", "hard", "gone")
    )
    data = bytearray(path.read_bytes())
    if what == "flip" and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    elif what == "cut":
        path.write_bytes(data[: rng.randrange(len(data) + 1)])
    elif what == "grow":
        path.write_bytes(data + bytes(rng.choice((1, 4096, 1 << 20))))
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "swap":
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
    elif what == "hard":
        os.link(path, bundle.parent / f"{bundle.name}-name")
    else:
        path.unlink()
        _in_place(path, what, other, bytes(data))
    return f"{path.relative_to(bundle)} {what}"


def _in_place(path: Path, what: str, other: Path, data: bytes) -> None:
    """Put something of another kind in a file's place."""
    if what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        os.mknod(path, stat.S_IFSOCK)
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(other)
    elif what == "outside":
        outside = path.parent.parent.parent / f"outside-{path.name}"
        outside.write_bytes(data)
        path.symlink_to(outside)


def _graph(bundle: Path, rng: random.Random) -> str:
    """Change the content of an ONNX file, which stays valid."""
    path = rng.choice([path for path in _files(bundle) if path.suffix == ".onnx"])
    model = onnx.load(path, load_external_data=False)
    values = [*model.graph.input, *model.graph.output]
    what = rng.choice(("dtype", "dim", "name", "location", "offset", "operator", "constant", "less", "twice", "order"))
    value, node = rng.choice(values), rng.choice(list(model.graph.node))
    external = [entry for tensor in model.graph.initializer for entry in tensor.external_data]
    if what == "dtype":
        value.type.tensor_type.elem_type = rng.choice((1, 6, 7, 10, 11, 99))
    elif what == "dim" and value.type.tensor_type.shape.dim:
        rng.choice(list(value.type.tensor_type.shape.dim)).dim_value = rng.choice((0, -1, 3, 1 << 50))
    elif what == "name":
        value.name = rng.choice(values).name
    elif what in {"location", "offset"} and external:
        entry = rng.choice([entry for entry in external if entry.key == what] or external)
        entry.value = str(rng.choice(("/etc/hostname", "../x", "", 0, 4096, 1 << 40, -1)))
    elif what == "operator":
        node.op_type = rng.choice(("Relu", "Neg", "Identity", "Exp", "Add", "Fancy"))
    elif what == "constant":
        tensor = onnx.TensorProto(name="c", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="more.bin")
        (path.parent / "more.bin").write_bytes(bytes(4))
        model.graph.initializer.append(tensor)
    elif what == "less":
        model.graph.node.remove(node)
    elif what == "twice":
        model.graph.output.append(model.graph.output[0])
    elif what == "order":
        nodes = list(model.graph.node)
        model.graph.ClearField("node")
        model.graph.node.extend(reversed(nodes))
    path.write_bytes(model.SerializeToString())
    return f"{path.relative_to(bundle)} {what}"


_CHANGES: dict[str, Callable[[Path, random.Random], str]] = {"manifest": _manifest, "file": _file, "graph": _graph}

"""What a function's file may say; it takes the form of its graphs that its machine's CPU can load."""

import json
from pathlib import Path

import pytest

from mopar.runtime.config import ConfigError, read_config
from mopar.runtime.cpu import own_cpu_kind
from tests.runtime.http.doors import config


def written(folder: Path, packed: object) -> Path:
    path = config(folder, Path("portable.onnx"), {"x": "float32"}, {"y": "float32"})
    document = json.loads(path.read_text())
    document["graphs"][0]["packed"] = packed
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(("kind", "chosen"), [(own_cpu_kind(), ("packed.onnx", 2)), ("sparc", ("portable.onnx", 3))])
def test_packed_weights_are_loaded_on_a_cpu_of_their_kind_alone(
    tmp_path: Path, kind: str, chosen: tuple[str, int]
) -> None:
    packed = {"cpu_kind": kind, "path": "packed.onnx", "flags": 2}
    (graph,) = read_config(str(written(tmp_path, packed))).graphs
    assert (Path(graph.path).name, graph.flags) == chosen


@pytest.mark.parametrize("packed", [[], {"path": "packed.onnx", "flags": 2}, {"cpu_kind": 1}])
def test_a_packed_form_without_its_kind_is_refused(tmp_path: Path, packed: object) -> None:
    with pytest.raises(ConfigError, match=r"(packed|cpu_kind) must be"):
        read_config(str(written(tmp_path, packed)))


@pytest.mark.parametrize("ratio", ["1", 1.01, -0.1])
def test_a_code_is_a_share_of_its_tensor(tmp_path: Path, ratio: object) -> None:
    path = config(tmp_path, Path("g.onnx"), {"x": "float32"}, {"y": "float32"})
    document = json.loads(path.read_text())
    document["graphs"][0]["outputs"][0]["most_code_ratio"] = ratio
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="most_code_ratio must be a number from 0 to 1"):
        read_config(str(path))

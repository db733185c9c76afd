"""Codecs that installed packages bring: found, imported when they are named, and no others' names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mopar.codecs import codec_names, codec_of, coder_models, registry
from mopar.types import TensorSpec, UsageError
from tests.codecs.test_graph_codecs import run

MODULE = """
from mopar.codecs.casts import Cast, FP16
import onnx_ir as ir
HALF = Cast("half", "float16", ir.DataType.FLOAT16, 6e4, least_opset=6)
NO = 1
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with a codec, and mistakes: of mopar's own names, of no codec, and of nothing that is there."""
    info = tmp_path / "ours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    names = {"half": "HALF", "fp16": "HALF", "blosc2": "HALF", "other": "HALF", "no": "NO", "gone": "GONE"}
    lines = "\n".join(f"{name} = ours_codecs:{value}" for name, value in names.items())
    (info / "entry_points.txt").write_text(f"[mopar.codecs]\n{lines}\n")
    (tmp_path / "ours_codecs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    yield
    _forget()
    sys.modules.pop("ours_codecs", None)


def _forget() -> None:
    registry._plugins.cache_clear()
    registry._loaded.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_a_package_brings_a_codec_that_works_as_ours() -> None:
    assert "half" in codec_names()
    assert "ours_codecs" not in sys.modules, "imported before it was named"
    values = np.random.default_rng(0).standard_normal((3, 4), dtype=np.float32)
    codec, spec = codec_of("half"), TensorSpec("t", "float32", (3, 4))
    (text,) = codec.offers(spec, [values])
    encoder, decoder = coder_models(codec.fit(text, spec, [values]))
    (back,) = run(decoder, run(encoder, [values]))
    np.testing.assert_allclose(back, values, rtol=1e-3)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fp16", "a name that is taken"),
        ("blosc2", "a name that is taken"),
        ("other", "no codec of that name"),
        ("no", "no codec of that name"),
        ("gone", "cannot be loaded"),
        ("nothing", "choose from fp16, bf16, int8, int8-static, int4, uniform, linear, autoencoder"),
    ],
)
def test_mistakes_of_packages_are_named(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"codec '{name}': .*{why}") as caught:
        codec_of(name)
    assert "\n" not in str(caught.value)


def test_without_packages_there_are_ours() -> None:
    assert codec_names() == ("fp16", "bf16", "int8", "int8-static", "int4", "uniform", "linear", "autoencoder")
    with pytest.raises(UsageError, match="choose from"):
        codec_of("linear:x")

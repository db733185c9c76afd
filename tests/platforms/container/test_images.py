"""What is in an image, without an engine: the same bytes each time, and nothing that no function needs."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mopar.bundle import Bundle, prepare
from mopar.cli.gateway import ServeJob
from mopar.files import cache_directory
from mopar.platforms.container.builder import EngineImages
from mopar.platforms.container.images.gateway import GatewayPlan
from mopar.platforms.container.images.images import function_images, gateway_image, write_context
from mopar.platforms.container.images.layers import Layer
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.images import ImageOptions
from mopar.runtime.config import read_config
from mopar.types import UsageError
from tests.bundle.plans import built

MIB = 1 << 20
MOST_MIB = 95
"""Of a function's image without its graphs. 87 with the Python here; they differ."""


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return prepare(built(reference("mlp"), tmp_path_factory.mktemp("bundle") / "bundle", 2), cache_directory())


def tree_digest(folder: Path) -> str:
    """Of names, modes, times and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        contents = b"" if path.is_dir() else path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {status.st_mode:o} {status.st_mtime}\n".encode() + contents)
    return digest.hexdigest()


def written(layer: Layer, into: Path) -> Path:
    layer.write(into)
    return into


def test_a_bundle_gives_the_same_bytes_whenever_and_wherever(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing kept from the first time, and files made for the user alone."""
    found = []
    for number, mask in enumerate((0o22, 0o77)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{number}"))
        before = os.umask(mask)
        try:
            images = function_images(bundle, None, lambda _: None)
            write_context([layer for image in images for layer in image.layers], {}, tmp_path / str(number))
        finally:
            os.umask(before)
        found.append((tree_digest(tmp_path / str(number) / "layers"), [image.tag for image in images]))
    assert found[0] == found[1]


def test_functions_share_all_layers_but_their_own_and_hold_no_packages(bundle: Bundle, tmp_path: Path) -> None:
    images = function_images(bundle, None, lambda _: None)
    assert len({image.layers[:-1] for image in images}) == 1
    assert len({image.tag for image in images}) == len(images)
    shared = images[0].layers[:-1]
    assert sum(layer.bytes for layer in shared) / MIB < MOST_MIB
    names = {path.name for layer in shared for path in written(layer, tmp_path / layer.name).rglob("*")}
    assert names & {"numpy", "pip", "ensurepip", "site-packages", "onnx", "msgspec", "typer"} == set()
    assert not any(name.startswith(("libssl", "libcrypto")) for name in names)


def test_a_function_finds_its_graphs_in_both_forms(bundle: Bundle, tmp_path: Path) -> None:
    (first, _) = function_images(bundle, None, lambda _: None)
    tree = written(first.layers[-1], tmp_path / "layer")
    config = tree / "opt/mopar/function/function.json"
    document = json.loads(config.read_text())
    for graph in document["graphs"]:
        for path in (graph["path"], graph["packed"]["path"]):
            assert (tree / path.lstrip("/")).is_file()
    assert read_config(str(config)).graphs[0].path == document["graphs"][0]["packed"]["path"]
    assert document["graphs"][0]["packed"]["cpu_kind"] in first.containerfile()


def test_the_gateway_is_told_what_it_can_read(bundle: Bundle, tmp_path: Path) -> None:
    endpoints = Endpoints({function.name: ("/run/x",) for function in bundle.manifest.plan.functions}, "socket")
    image = gateway_image(bundle, GatewayPlan(endpoints, "mlp", allow_hosts=("localhost",), has_token=True))
    tree = written(image.layers[-1], tmp_path / "layer")
    job = msgspec.json.decode(
        (tree / "opt/mopar/gateway/job.json").read_bytes(), type=ServeJob, dec_hook=lambda kind, text: kind(text)
    )
    assert job.bundle.manifest == bundle.manifest
    assert job.options.token_file == Path("/run/mopar-secrets/token")
    assert job.options.functions == Path("/opt/mopar/gateway/functions.json")


def test_images_have_the_library_of_codecs_where_tensors_are_encoded(bundle: Bundle, tmp_path: Path) -> None:
    """Of two functions the first makes no such tensor; the gateway finds the library as an installed package's."""
    last = bundle.manifest.plan.outputs[0][0]
    plan = replace(bundle.manifest.plan, codecs={last: "blosc2:lz4-shuffle"})
    encoding = replace(bundle, manifest=replace(bundle.manifest, plan=plan))
    without, with_it = function_images(encoding, None, lambda _: None)
    gateway = gateway_image(encoding, GatewayPlan(Endpoints({}, "http"), "mlp"))
    assert [any(layer.name == "codecs" for layer in image.layers) for image in (without, with_it, gateway)] == [
        False,
        True,
        True,
    ]
    (layer,) = (layer for layer in with_it.layers if layer.name == "codecs")
    tree = written(layer, tmp_path / "codecs")
    config = written(with_it.layers[-1], tmp_path / "layer") / "opt/mopar/function/function.json"
    assert (tree / read_config(str(config)).lossless.lstrip("/")).is_file()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from importlib.util import find_spec; print(find_spec('blosc2'))"
    )
    sources = str(tree / "opt/mopar/src")
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, sources], capture_output=True, text=True, check=True
    )
    assert f"{sources}/blosc2" in found.stdout


def test_a_name_that_is_none_writes_nothing_outside(bundle: Bundle) -> None:
    from mopar.types import BundleError

    first, *others = bundle.manifest.plan.functions
    plan = replace(bundle.manifest.plan, functions=(replace(first, name="../f0"), *others))
    with pytest.raises(BundleError, match=r"\.\./f0"):
        function_images(replace(bundle, manifest=replace(bundle.manifest, plan=plan)), None, lambda _: None)


@pytest.mark.parametrize("registry", ["", "http://127.0.0.1:5000", "registry.local/Team", "--all", "a b"])
def test_a_registry_that_is_none_is_named_before_anything_is_built(
    bundle: Bundle, tmp_path: Path, registry: str
) -> None:
    images = EngineImages(ImageOptions(engine=str(tmp_path / "nowhere")))
    with pytest.raises(UsageError, match=f"--registry {registry or 'is missing'}.*registry.local:5000/team"):
        images.build(bundle, "m", registry, lambda _: None)

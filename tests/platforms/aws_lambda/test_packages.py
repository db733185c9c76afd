"""What is packaged for Lambda: the same bytes each time, and what a function needs, alone."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mopar.bundle import Bundle
from mopar.machine import machine_facts
from mopar.platforms.aws_lambda.function_files import Weights
from mopar.platforms.aws_lambda.packages import PackageSettings, make_packages
from mopar.platforms.aws_lambda.runtime_files import handler_command
from mopar.platforms.aws_lambda.target import lambda_python, target_of
from mopar.types import PlatformError, UsageError
from tests.bundle.plans import built

MIB = 1 << 20
MOST_MIB = 36
"""Of a function without its graphs; ONNX Runtime's library is 33 of them."""


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference("mlp"), tmp_path_factory.mktemp("bundle") / "bundle", 2)


@pytest.fixture(scope="module")
def archive(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_packages(bundle, PackageSettings(), tmp_path_factory.mktemp("zips"), lambda _: None)[0].path


def test_a_bundle_gives_the_same_archives_whenever_and_wherever(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing kept from the first time, and files made for the user alone."""
    found = []
    for number, mask in enumerate((0o22, 0o77)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{number}"))
        before = os.umask(mask)
        try:
            packages = make_packages(bundle, PackageSettings(), tmp_path / str(number), lambda _: None)
        finally:
            os.umask(before)
        found.append([hashlib.sha256(package.path.read_bytes()).hexdigest() for package in packages])
        assert found[-1] == [package.sha256 for package in packages]
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_an_archive_holds_what_a_function_needs_alone(bundle: Bundle, tmp_path: Path) -> None:
    (package, _) = make_packages(bundle, PackageSettings(), tmp_path, lambda _: None)
    with zipfile.ZipFile(package.path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    graphs = {file.path for graph in bundle.graphs_of("f0") for file in graph.files}
    assert graphs <= infos.keys()
    others = {name for name in infos if not name.startswith("mopar/")} - graphs
    assert (
        others == {"bootstrap", "function.json", target_of("x86_64", None).library.name}
        or os.uname().machine != "x86_64"
    )
    assert sum(info.file_size for name, info in infos.items() if name not in graphs) / MIB < MOST_MIB
    assert sum(info.file_size for info in infos.values()) == package.unpacked_bytes
    modes = {name: stat.S_IMODE(info.external_attr >> 16) for name, info in infos.items()}
    assert modes.pop("bootstrap") == 0o755
    assert set(modes.values()) == {0o644}
    assert not any("http" in name or "worker" in name for name in infos)
    assert package.environment["AWS_LAMBDA_EXEC_WRAPPER"] == "/var/task/bootstrap"


def test_all_that_the_handler_imports_is_there(archive: Path, tmp_path: Path) -> None:
    """Also what it imports for a store or for codecs alone, by a Python that finds nothing else."""
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    lines = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mopar.runtime.aws_lambda.start, {}; print(*sys.modules)"
    )
    code = lines.format("mopar.runtime.aws_lambda.objects, mopar.runtime.cpu, mopar.runtime.lossless")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if name.startswith("mopar")}
    there = {
        str(path.relative_to(tmp_path).with_suffix("")).replace("/", ".").removesuffix(".__init__")
        for path in tmp_path.rglob("mopar/**/*.py")
    }
    assert loaded == there


def test_a_function_starts_without_what_only_a_store_needs(archive: Path, tmp_path: Path) -> None:
    """Each of these modules takes 0.5 to 9 MiB in every function."""
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import mopar.runtime.aws_lambda.start; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    unwanted = {"base64", "collections", "dataclasses", "email", "hashlib", "hmac", "http", "json", "pathlib", "re",
                "socket", "ssl", "typing", "urllib", "encodings.idna"}  # fmt: skip
    assert set(done.stdout.split()) & unwanted == set()


@pytest.mark.skipif(lambda_python() is None, reason="there is no Python of Lambda's version to compile with")
def test_lambdas_python_need_not_compile_anything(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    python = lambda_python()
    assert python is not None
    command = [python, "-v", *handler_command(python, str(tmp_path))[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={})
    assert f"matches {tmp_path}/mopar" in done.stderr
    assert [
        line for line in done.stderr.splitlines() if f"code object from '{tmp_path}" in line and "pyc" not in line
    ] == []


def test_graphs_are_packed_for_the_cpus_that_are_named_alone(bundle: Bundle, tmp_path: Path) -> None:
    kind = machine_facts().cpu_kind
    (plain, _) = make_packages(bundle, PackageSettings(), tmp_path / "plain", lambda _: None)
    (packed, _) = make_packages(bundle, PackageSettings(cpu_kind=kind), tmp_path / "packed", lambda _: None)
    kinds = []
    for package in (plain, packed):
        with zipfile.ZipFile(package.path) as archive:
            (graph,) = json.loads(archive.read("function.json"))["graphs"]
            kinds.append(graph.get("packed", {}).get("cpu_kind"))
            assert {graph["path"], graph.get("packed", graph)["path"]} <= set(archive.namelist())
    assert kinds == [None, kind]
    with pytest.raises(UsageError, match=f"--cpu-kind x86_64-other: graph .* is packed for {kind}"):
        make_packages(bundle, PackageSettings(cpu_kind="x86_64-other"), tmp_path / "other", lambda _: None)


def test_weights_may_stay_outside_of_the_package(bundle: Bundle, tmp_path: Path) -> None:
    settings = PackageSettings(weights=Weights("models", "mlp/"))
    (package, _) = make_packages(bundle, settings, tmp_path, lambda _: None)
    (entry,) = [file for graph in bundle.graphs_of("f0") for file in graph.files[1:]]
    (stored,) = package.stored
    assert (stored.key, stored.bytes, stored.sha256) == (f"mlp/{entry.sha256}", entry.bytes, entry.sha256)
    with zipfile.ZipFile(package.path) as archive:
        assert entry.path not in archive.namelist()
        (graph,) = json.loads(archive.read("function.json"))["graphs"]
    assert graph["weights"][0] | {"name": ""} == {
        "name": "", "bucket": "models", "key": stored.key, "bytes": entry.bytes, "sha256": entry.sha256
    }  # fmt: skip


def test_threads_are_those_of_the_memory_unless_the_plan_is_for_lambda(bundle: Bundle, tmp_path: Path) -> None:
    plan = replace(bundle.manifest.plan, platform="aws-lambda")
    planned = replace(bundle, manifest=replace(bundle.manifest, plan=plan))
    found = []
    for number, one in enumerate((bundle, planned)):
        (package, _) = make_packages(one, PackageSettings(), tmp_path / str(number), lambda _: None)
        with zipfile.ZipFile(package.path) as archive:
            found.append(json.loads(archive.read("function.json"))["threads"])
    assert found == [0, 1]


def test_an_image_is_run_by_its_entry_point_from_the_same_folder(bundle: Bundle, tmp_path: Path) -> None:
    first, second = make_packages(bundle, PackageSettings(kind="image"), tmp_path, lambda _: None)
    text = (first.path / "Containerfile").read_text()
    assert '"/var/task", "/var/task/function.json"]' in text
    assert "ENTRYPOINT [" in text
    assert "EXPOSE" not in text
    assert (first.path / "layers/function-f0/var/task/function.json").is_file()
    assert (first.path / "layers/lambda-task/var/task/mopar/runtime/aws_lambda/start.py").is_file()
    assert list((first.path / "layers/python").rglob("_ssl*.so")), "S3 is spoken to over TLS"
    assert first.sha256 != second.sha256
    (again, _) = make_packages(bundle, PackageSettings(kind="image"), tmp_path, lambda _: None)
    assert again == first


def test_an_image_for_other_processors_needs_a_base(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "arm64" if os.uname().machine == "x86_64" else "x86_64"
    monkeypatch.setattr("mopar.platforms.aws_lambda.target._fetched_library", lambda *_: target_of_own())
    with pytest.raises(UsageError, match=f"images for {other} .* add --base-image"):
        make_packages(bundle, PackageSettings("image", other), tmp_path, lambda _: None)  # type: ignore[arg-type]


def target_of_own() -> Path:
    from mopar.platforms.local.library import engine_library

    return engine_library()


def test_no_index_for_other_processors_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    other = "arm64" if os.uname().machine == "x86_64" else "x86_64"
    with pytest.raises(PlatformError, match=f"for {other} cannot be fetched by pip: .*package index"):
        target_of(other, None)  # type: ignore[arg-type]
    assert list(tmp_path.rglob("*.whl")) == []


def test_a_python_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--python /bin/sh: Lambda's is 3\.12, that is none"):
        target_of("x86_64", Path("/bin/sh"))


def test_functions_whose_tensors_are_encoded_have_the_library_for_it(bundle: Bundle, tmp_path: Path) -> None:
    """Of two functions the first makes a tensor that neither the second nor anybody else reads encoded."""
    last = bundle.manifest.plan.outputs[0][0]
    plan = replace(bundle.manifest.plan, codecs={last: "blosc2:lz4-shuffle"})
    encoding = replace(bundle, manifest=replace(bundle.manifest, plan=plan))
    without, with_it = make_packages(encoding, PackageSettings(), tmp_path, lambda _: None)
    for package, there in ((without, False), (with_it, True)):
        with zipfile.ZipFile(package.path) as archive:
            assert ("libblosc2.so" in archive.namelist()) is there
            config = json.loads(archive.read("function.json"))
        assert config.get("lossless") == ("libblosc2.so" if there else None)
        assert package.unpacked_bytes / MIB < MOST_MIB + 3

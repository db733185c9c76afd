"""Functions as they are packaged, on Amazon's own runtime interface emulator."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import helper

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.limits import Cgroups, detect_cgroups
from mopar.platforms.aws_lambda.emulator import EmulatedFunction
from mopar.platforms.aws_lambda.function_files import Weights
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.messages import StoredValue, StorePlace, invoke_message, read_answer
from mopar.platforms.aws_lambda.packages import PackageSettings, make_packages
from mopar.platforms.codes import EncodedValue
from mopar.platforms.container.labels import labels_of
from mopar.types import REQUEST, DeploymentError, MoparError, OutOfMemoryError, PlatformError, RequestError, TensorValue
from tests.bundle.plans import built
from tests.graph.composed import run_file
from tests.models import sample_inputs
from tests.platforms.aws_lambda.s3 import BUCKET, S3, serving
from tests.platforms.container import engines
from tests.platforms.local import graphs
from tests.platforms.local.leftovers import is_dead, nothing_left, workers_of
from tests.runtime.running import save

pytestmark = [pytest.mark.aws, pytest.mark.usefixtures("nothing_left")]
__all__ = ["nothing_left"]

Values = dict[tuple[str, str], TensorValue | StoredValue]
MODEL, FEEDS = "mlp", sample_inputs("mlp")
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference(MODEL), tmp_path_factory.mktemp("bundle") / "bundle", 2)


@pytest.fixture(scope="module")
def packages(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[FunctionPackage, ...]:
    return make_packages(bundle, PackageSettings(), tmp_path_factory.mktemp("packages"), lambda _: None)


@contextlib.contextmanager
def running(
    package: FunctionPackage, folder: Path, cgroups: Cgroups | None = None, **options: object
) -> Iterator[EmulatedFunction]:
    """A function that is stopped at the end."""
    function = EmulatedFunction(package, folder / package.function, cgroups, **options)  # type: ignore[arg-type]
    try:
        yield function
    finally:
        function.stop()


def assert_close(got: Array, want: Array) -> None:
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=1e-5)


def answers(
    bundle: Bundle, functions: Mapping[str, EmulatedFunction], values: Values, store: StorePlace | None
) -> Values:
    """Run a bundle's calls one after the other."""
    graphs_by_id = {graph.id: graph for graph in bundle.manifest.graphs}
    for call in bundle.manifest.calls:
        graph = graphs_by_id[call.graph]
        inputs = [values[source.producer, source.tensor] for item in call.inputs for source in item.sources]
        body = functions[call.function].invoke(invoke_message(graph.id, inputs, store)).body
        answer = read_answer(call.function, body, graph.outputs, [None] * len(graph.outputs))
        values |= {(call.id, value.name): value for value in answer.outputs if not isinstance(value, EncodedValue)}
    return values


def test_functions_answer_as_the_whole_model(
    bundle: Bundle, packages: tuple[FunctionPackage, ...], tmp_path: Path, reference: Callable[[str], Path]
) -> None:
    want = run_file(reference(MODEL), FEEDS)
    with contextlib.ExitStack() as stack:
        functions = {package.function: stack.enter_context(running(package, tmp_path)) for package in packages}
        for _ in range(2):
            values: Values = {(REQUEST, name): from_array(name, array) for name, array in FEEDS.items()}
            values = answers(bundle, functions, values, None)
    for name, made in bundle.manifest.plan.outputs:
        value = values[made, name]
        assert isinstance(value, TensorValue)
        assert_close(to_array(value), want[name])


@pytest.fixture(scope="module")
def allocating(tmp_path_factory: pytest.TempPathFactory) -> FunctionPackage:
    """A function that allocates as many floats as it is asked for."""
    folder = tmp_path_factory.mktemp("allocating")
    made = built(graphs.allocate(folder / "allocate.onnx"), folder / "bundle", 1)
    (package,) = make_packages(made, PackageSettings(), folder / "packages", lambda _: None)
    return replace(package, memory_mib=256)


@pytest.fixture(scope="module")
def spinning(tmp_path_factory: pytest.TempPathFactory) -> FunctionPackage:
    """A function that counts as far as it is asked to."""
    folder = tmp_path_factory.mktemp("spinning")
    made = built(graphs.spin(folder / "spin.onnx"), folder / "bundle", 1)
    (package,) = make_packages(made, PackageSettings(), folder / "packages", lambda _: None)
    return package


def numbers(package: FunctionPackage, count: int, shape: tuple[int, ...]) -> bytes:
    """The message of a function with one input of one number."""
    graph = json.loads(package_file(package, "function.json"))["graphs"][0]
    value = TensorValue(graph["inputs"][0]["name"], "int64", shape, count.to_bytes(8, "little"))
    return invoke_message(graph["id"], [value])


def package_file(package: FunctionPackage, name: str) -> bytes:
    with zipfile.ZipFile(package.path) as archive:
        return archive.read(name)


@pytest.mark.cgroup
def test_a_function_that_needs_more_than_its_memory_is_killed_and_started_again(
    allocating: FunctionPackage, tmp_path: Path
) -> None:
    cgroups = detect_cgroups()
    assert cgroups is not None
    with running(allocating, tmp_path, cgroups) as function:
        first = function.invoke(numbers(allocating, 1 << 20, (1,)))
        assert first.init_ms > 0
        assert function.cgroup is not None
        assert function.cgroup.peak_bytes() > 10 << 20
        with pytest.raises(OutOfMemoryError, match="function f0 was killed: it needs more memory than its 256 MiB"):
            function.invoke(numbers(allocating, 1 << 27, (1,)))
        again = function.invoke(numbers(allocating, 1 << 20, (1,)))
        assert json.loads(again.body)["outputs"] == json.loads(first.body)["outputs"]
        assert again.init_ms > 0
        assert function.invoke(numbers(allocating, 1 << 20, (1,))).init_ms == 0


@pytest.mark.cgroup
def test_a_function_has_the_cpu_that_its_memory_buys(spinning: FunctionPackage, tmp_path: Path) -> None:
    """128 MiB are 1/14 of a CPU: its own clock counts what the quota lets through."""
    cgroups = detect_cgroups()
    assert cgroups is not None
    with running(replace(spinning, memory_mib=128), tmp_path, cgroups) as function:
        function.start()
        assert function.cgroup is not None
        before = function.cgroup.cpu_ns()
        done = function.invoke(numbers(spinning, 70_000, ()))
        used_ms = (function.cgroup.cpu_ns() - before) / 1e6
        assert used_ms > 20
        assert 0.5 < used_ms / done.duration_ms * 1769 / 128 < 1.6


def test_a_call_beyond_the_time_out_is_ended_and_the_function_started_again(
    spinning: FunctionPackage, tmp_path: Path
) -> None:
    with running(spinning, tmp_path, timeout_s=2) as function:
        with pytest.raises(DeploymentError, match="function f0 was ended after 2 s"):
            function.invoke(numbers(spinning, graphs.FOREVER, ()))
        assert b"outputs" in function.invoke(numbers(spinning, 3, ())).body


def test_a_function_that_dies_is_named_and_started_again(packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    with running(packages[0], tmp_path) as function:
        function.start()
        (pid,) = processes_of(tmp_path / "f0" / "task")
        os.kill(pid, signal.SIGSEGV)
        with pytest.raises(DeploymentError, match=r"function f0 died: .*segmentation fault"):
            function.invoke(b"{}")
        assert function.start() > 0


def processes_of(root: Path) -> list[int]:
    """Processes that run the function of a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[0].rpartition(b"/")[2].startswith(b"python") and words[-2:-1] == [
                f"{root}/function.json".encode()
            ]:
                found.append(int(path.parent.name))
    return found


def test_a_function_that_cannot_be_initialised_says_why(packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    with running(packages[0], tmp_path) as function:
        graph = next((tmp_path / "f0" / "task" / "graphs").glob("*.onnx"))
        graph.write_bytes(b"no graph")
        with pytest.raises(PlatformError, match=r"function f0 cannot be initialised: .*Protobuf"):
            function.start()


def test_what_does_not_start_is_said(packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    with (
        running(packages[0], tmp_path, emulator=Path("/bin/false")) as function,
        pytest.raises(PlatformError, match="function f0 cannot be started: the emulator has ended"),
    ):
        function.start()


def test_one_instance_answers_one_call_at_a_time(packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    """The emulator would crash at a second one."""
    failed: list[Exception] = []
    with running(packages[0], tmp_path) as function:

        def call() -> None:
            try:
                for _ in range(5):
                    function.invoke(b"{}")
            except MoparError as error:
                failed.append(error)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert failed == []


def test_a_message_beyond_the_limit_is_not_sent(packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    with running(packages[0], tmp_path) as function, pytest.raises(RequestError, match="6291557 bytes"):
        function.invoke(b" " * 6_291_557)


def test_a_message_of_the_largest_size_arrives(packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    with running(packages[0], tmp_path) as function:
        body = b'{"graph":"none","more":"' + b"A" * (6_291_556 - 26) + b'"}'
        assert len(body) == 6_291_556
        assert b"must be one of" in function.invoke(body).body


def test_all_ends_with_the_process_that_started_it(packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from tests.platforms.aws_lambda.test_emulator import EmulatedFunction, FunctionPackage
import msgspec
package = msgspec.json.decode(sys.argv[1].encode(), type=FunctionPackage, dec_hook=lambda kind, text: kind(text))
function = EmulatedFunction(package, Path({str(tmp_path / "f")!r}), None)
function.start()
print("started", flush=True)
function.invoke(b"{{}}")
sys.stdin.read()
"""
    document = msgspec.json.encode(packages[0], enc_hook=str).decode()
    child = subprocess.Popen(
        [sys.executable, "-c", code, document], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"started\n"
    started = set(workers_of(child.pid)) | set(processes_of(tmp_path / "f" / "task"))
    assert len(started) >= 2
    child.kill()
    child.communicate(timeout=PATIENCE_S)
    until = time.monotonic() + PATIENCE_S
    while (left := [pid for pid in started if not is_dead(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert left == []
    assert processes_of(tmp_path / "f" / "task") == []


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    if find_spec("moto") is None:
        pytest.skip("needs moto: pip install 'moto[server]'")
    with serving() as made:
        yield made


def test_weights_and_tensors_pass_through_a_bucket(
    bundle: Bundle, tmp_path: Path, reference: Callable[[str], Path], s3: S3
) -> None:
    """As where an orchestrator takes no tensors, and weights do not fit into an archive."""
    want = run_file(reference(MODEL), FEEDS)
    settings = PackageSettings(weights=Weights(BUCKET, "weights/"))
    made = make_packages(bundle, settings, tmp_path / "packages", lambda _: None)
    for stored in (stored for package in made for stored in package.stored):
        s3.put(stored.key, stored.path.read_bytes())
    values: Values = {}
    for name, array in FEEDS.items():
        data = from_array(name, array)
        s3.put(f"request/{name}", bytes(data.data))
        values[REQUEST, name] = StoredValue(name, data.dtype, data.shape, f"request/{name}")
    with contextlib.ExitStack() as stack:
        functions = {
            package.function: stack.enter_context(running(package, tmp_path, variables=s3.environment))
            for package in made
        }
        values = answers(bundle, functions, values, StorePlace(BUCKET, "run/", above_bytes=0))
    for name, producer in bundle.manifest.plan.outputs:
        value = values[producer, name]
        assert isinstance(value, StoredValue)
        found = to_array(TensorValue(name, value.dtype, value.shape, s3.get(value.key)))
        assert_close(found, want[name])


@pytest.mark.slow
@pytest.mark.container
def test_a_container_of_the_image_answers_as_an_archive(
    bundle: Bundle, packages: tuple[FunctionPackage, ...], tmp_path: Path
) -> None:
    """Lambda sets the address of its API, and runs the entry point."""
    image = make_packages(bundle, PackageSettings(kind="image"), tmp_path / "images", lambda _: None)[0]
    tag, labels = "localhost/mopar/lambda-tested:1", labels_of("lambda-tested")
    found = engines.runtime()
    program = [engines.engine().name, *([] if found is None else ["--runtime", found])]
    variables = [word for name in ("RUNTIME_API", "FUNCTION_MEMORY_SIZE") for word in ("-e", f"AWS_LAMBDA_{name}")]

    def in_container(_: Path) -> list[str]:
        return [
            *program,
            "run",
            "--rm",
            "--read-only",
            "--network=host",
            *variables,
            tag,
        ]

    with engines.removed_afterwards("lambda-tested"):
        engines.engine().build(image.path, "Containerfile", tag, labels)
        with running(packages[0], tmp_path / "archive") as function:
            want = json.loads(function.invoke(first_call(bundle)).body)["outputs"]
        with running(image, tmp_path / "image", command=in_container, variables=dict(os.environ)) as function:
            assert json.loads(function.invoke(first_call(bundle)).body)["outputs"] == want
        code = "import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])"
        python = ["--entrypoint", "/opt/python/bin/python3", tag, "-I", "-S", "-c", code]
        done = subprocess.run(
            [*program, "run", "--rm", "--network=host", *python],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert int(done.stdout) > 20, "authorities by which S3 is known"


def first_call(bundle: Bundle) -> bytes:
    """The message of the first function's call."""
    return invoke_message(bundle.graphs_of("f0")[0].id, [from_array("x", FEEDS["x"])])


def test_an_image_answers_as_an_archive(bundle: Bundle, packages: tuple[FunctionPackage, ...], tmp_path: Path) -> None:
    image = make_packages(bundle, PackageSettings(kind="image"), tmp_path / "images", lambda _: None)[0]
    found = []
    for number, package in enumerate((packages[0], image)):
        with running(package, tmp_path / str(number)) as function:
            found.append(json.loads(function.invoke(first_call(bundle)).body)["outputs"])
    assert found[0] == found[1]


@pytest.mark.cgroup
def test_a_message_is_held_once_and_its_tensors_once(tmp_path: Path) -> None:
    """4.4 MiB of tensors are 5.9 of text: both at once while they are decoded, and an answer piece by piece."""
    node = helper.make_node("Mul", ["x", "y"], ["z"])
    x, y = ("x", "float32", (1, 1155000)), ("y", "float32", (1,))
    made = built(save(tmp_path / "m.onnx", [node], [x, y], [("z", "float32", (1, 1155000))]), tmp_path / "bundle", 1)
    (package,) = make_packages(made, PackageSettings(), tmp_path / "packages", lambda _: None)
    cgroups = detect_cgroups()
    assert cgroups is not None
    graph = made.graphs_of("f0")[0].id
    inputs = [from_array("x", np.ones((1, 1155000), np.float32)), from_array("y", np.ones(1, np.float32))]
    message = invoke_message(graph, inputs)
    with running(package, tmp_path, cgroups) as function:
        function.start()
        assert function.cgroup is not None
        before = function.cgroup.stat().unreclaimable
        assert len(function.invoke(message).body) > 6_100_000
        files = function.cgroup.stat().file  # libraries that nobody had read before are charged to it too
        # The message, its input, and its output: of the message, the output takes the place once it is decoded.
        assert function.cgroup.peak_bytes() - files - before < len(message) + 1.2 * 4 * 1155000 + (4 << 20)

"""Required memory of a real worker is the same whichever process is charged for the pages of its libraries."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mopar.graph import load_model
from mopar.measurement.policy import MEMORY
from mopar.measurement.recording import Recording, record
from mopar.measurement.required_memory import required_memory
from mopar.measurement.single import chain_bundle
from mopar.platforms.local import WorkerProcess, worker_spec
from mopar.platforms.local.launch import WorkerLaunch
from mopar.platforms.local.library import engine_library
from mopar.profiling import sample_inputs
from mopar.types import EngineOptions

pytestmark = pytest.mark.cgroup

AGREEMENT_MIB = 3.0
FINE = replace(MEMORY, resolution_mib=1.0)  # two searches to 2 MiB may end almost that far apart for the same value
ORDINARY_READ_AHEAD_KIB = 128


@pytest.fixture
def ordinary_read_ahead(tmp_path: Path) -> Iterator[None]:
    """Linux's default of 128 KiB on the test's disk.

    On a disk with 8 MiB of read-ahead, a function whose libraries come from that disk needs up to that much more: pages
    that were only read ahead evict those that it uses.
    """
    device = tmp_path.stat().st_dev
    setting = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    try:
        before = setting.read_text()
        setting.write_text(str(ORDINARY_READ_AHEAD_KIB))
    except OSError as error:
        pytest.skip(f"read-ahead cannot be set here: {error}")
    try:
        yield
    finally:
        setting.write_text(before)


@pytest.mark.usefixtures("ordinary_read_ahead")
@pytest.mark.parametrize("name", ["conv_chain", "two_input"])
def test_shared_and_private_libraries_agree(reference: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    launch, private = _launches(reference(name), tmp_path)
    with _another_worker(launch):
        shared = required_memory(launch, cpu=1.0, policy=FINE)
    alone = required_memory(private, cpu=1.0, policy=FINE)
    assert shared.foreign_mib > alone.foreign_mib, "the private copy is charged to the function itself"
    assert shared.required_mib == pytest.approx(alone.required_mib, abs=AGREEMENT_MIB)


def _launches(path: Path, tmp_path: Path) -> tuple[WorkerLaunch, WorkerLaunch]:
    """The model as one function, with the installed library and with a copy that no other process maps."""
    model = load_model(path)
    home = tmp_path / "model"
    home.mkdir()
    files = tuple(Path(shutil.copy(file, home / file.name)) for file in model.files)
    bundle = chain_bundle(model.name, (files,), (model.inputs, model.outputs), EngineOptions())
    recording: Recording = record(bundle, sample_inputs(model.inputs)[0])
    (function,) = bundle.manifest.plan.functions
    copy = Path(shutil.copy(engine_library(), tmp_path / engine_library().name))
    spec, calls = worker_spec(bundle, function), recording.calls[function.name]
    return (
        WorkerLaunch(spec, calls, bundle.files_of(function.name)),
        WorkerLaunch(replace(spec, library=copy), calls, (*bundle.files_of(function.name), copy)),
    )


@contextlib.contextmanager
def _another_worker(launch: WorkerLaunch) -> Iterator[None]:
    with WorkerProcess(launch.spec) as other:
        other.load(60.0)
        yield

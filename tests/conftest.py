"""Shared fixtures: reference models by name."""

import compileall
import os
import shutil
import signal
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from mopar import runtime
from mopar.files import cache_directory
from tests.cgroups import require_cgroups_for
from tests.models import materialise
from tests.platforms.aws_lambda.emulators import require_emulator_for
from tests.platforms.container.engines import require_containers_for

# Hypothesis examples are the same in every run, so that a failure is due to a change; `make fuzz` draws new ones.
# Durations of examples are not checked: hosts differ, and benchmarks measure time.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("fuzz", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_configure() -> None:
    """Commands that tests start can be interrupted, also where a shell runs pytest in the background.

    Functions write no bytecode. Where nobody else has, each of thousands would compile what it imports when it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    compileall.compile_dir(Path(runtime.__file__).parent, quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without torch, tests marked ``models`` are skipped and say so; CI installs it."""
    if find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("models"):
                item.add_marker(pytest.mark.skip(reason='needs torch: pip install -e ".[dev]"'))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked ``cgroup``, ``container`` or ``aws`` do not run where there are none."""
    require_cgroups_for(item)
    require_containers_for(item)
    require_emulator_for(item)


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """The ONNX file of a reference model; built once for each version of its recipe and cached in ``.cache``."""
    return materialise


@pytest.fixture(scope="session")
def new_cache(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes a cache that holds what is measured of the machine once, a minute's work, and nothing else.

    As the user's own cache has it, which tests of predictions in this process read too.
    """
    from mopar.measurement.call_costs import runtime_costs
    from mopar.pipeline.calibration.scale import resources_here

    runtime_costs()
    resources_here()
    kept = tmp_path_factory.mktemp("measured")
    for name in ("runtime", "resources"):
        ignored = shutil.ignore_patterns("codecs-*", "samples")
        shutil.copytree(cache_directory() / name, kept / "mopar" / name, ignore=ignored)
    return lambda folder: Path(shutil.copytree(kept, folder))


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments of one test are unknown to others, to other runs and to the user."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state" / uuid.uuid4().hex))


@pytest.fixture(autouse=True)
def as_busy_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep profiles that were measured on a busy machine even when it is quiet now; tests run on either."""
    monkeypatch.setattr("mopar.profiling.cache.busy_now", lambda: True)

"""Shared fixtures: reference models by name."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.models import materialise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without torch, tests marked ``models`` are skipped and say so; CI installs it."""
    if find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("models"):
                item.add_marker(pytest.mark.skip(reason='needs torch: pip install -e ".[dev]"'))


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """The ONNX file of a reference model; made once for each version of its recipe and kept in ``.cache``."""
    return materialise

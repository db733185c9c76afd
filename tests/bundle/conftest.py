"""Fixtures for bundles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.bundle import Bundle
from tests.bundle.plans import built


@pytest.fixture
def bundle(reference: Callable[[str], Path], tmp_path: Path) -> Bundle:
    """A model with skip connections as three functions."""
    return built(reference("skip"), tmp_path / "bundle")

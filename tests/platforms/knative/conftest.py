"""A bundle of three functions, which tests leave as it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.bundle import Bundle
from tests.bundle.plans import built


@pytest.fixture(scope="session")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference("skip"), tmp_path_factory.mktemp("knative") / "bundle")

"""Amazon's runtime interface emulator, where there is one."""

import functools
import os

import pytest

from mopar.platforms.aws_lambda.emulator_process import find_emulator
from mopar.types import PlatformError

NEED_AWS = "MOPAR_TESTS_NEED_AWS"
"""Set to 1 by ``.ci/run``, which installs aws-sam-cli."""


@functools.cache
def why_no_emulator() -> str | None:
    """Why there is none; None where there is one."""
    try:
        find_emulator()
    except PlatformError as error:
        return str(error)
    return None


def require_emulator_for(test: pytest.Item) -> None:
    """Skip a test that needs the emulator where there is none, or fail it where it must be."""
    if test.get_closest_marker("aws") is None or (why := why_no_emulator()) is None:
        return
    if os.environ.get(NEED_AWS) == "1":
        pytest.fail(f"{NEED_AWS} is 1, but {why}", pytrace=False)
    pytest.skip(why)

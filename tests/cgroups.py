"""Tests marked ``cgroup`` where no cgroup can be written: skipped on a developer's machine, failures in CI."""

import os

import pytest

from mopar.limits import why_unavailable

NEED_CGROUPS = "MOPAR_TESTS_NEED_CGROUPS"
"""Set to 1 by ``.ci/run``, where skipped tests would leave it unnoticed that no limit was ever set."""


def require_cgroups_for(test: pytest.Item) -> None:
    """Skip a test that needs cgroups where there are none, or fail it where they must be."""
    if test.get_closest_marker("cgroup") is None or (why := why_unavailable()) is None:
        return
    if os.environ.get(NEED_CGROUPS) == "1":
        pytest.fail(f"{NEED_CGROUPS} is 1, but there are no cgroups here: {why}", pytrace=False)
    pytest.skip(f"no cgroups here: {why}")

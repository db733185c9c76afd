"""A machine without cgroups is no reason to pass in CI."""

from pathlib import Path

import pytest

from tests import cgroups
from tests.cgroups import NEED_CGROUPS
from tests.conftest import pytest_runtest_setup


@pytest.mark.parametrize(("needed", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_tests_that_need_cgroups_fail_where_ci_has_none(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, needed: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv(NEED_CGROUPS, needed)
    monkeypatch.setattr(cgroups, "why_unavailable", lambda: "no cgroup hierarchy is mounted")
    pytest_runtest_setup(request.node)  # it is not marked
    request.node.add_marker(pytest.mark.cgroup)
    # Both, since one that is not expected would skip this test.
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception), match="no cgroup hierarchy is mounted") as found:
        pytest_runtest_setup(request.node)
    assert found.type is outcome


def test_ci_needs_them() -> None:
    assert f"export {NEED_CGROUPS}=1\n" in (Path(__file__).parents[1] / ".ci" / "run").read_text()

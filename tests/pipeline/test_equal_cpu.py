"""Beside plans in parts stands the unsplit model with as many CPUs."""

from dataclasses import replace

import pytest

from mopar.pipeline.bench.equal_cpu import equal_cpu_plans, widest
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.types import Plan, Profile
from tests.profiles import in_halves


@pytest.fixture
def profile() -> Profile:
    """Two layers of 20 ms; two functions can compute the first in parallel."""
    return in_halves(2)


def plans(profile: Profile, options: PlanOptions, notices: list[str]) -> dict[str, Plan]:
    fast = make_plan(profile, replace(options, objective="latency"))
    cheap = make_plan(profile, replace(options, max_parts=1))
    assert (widest(fast), widest(cheap)) == (2, 1)
    unsplit = make_plan(profile, replace(options, cuts=(), slo_ms=None))
    return dict(equal_cpu_plans(profile, options, unsplit, [cheap, fast, fast], notices.append))


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The cores of this machine, as far as the module knows."""
    found = {0, 1}
    monkeypatch.setattr("mopar.pipeline.bench.equal_cpu.os.sched_getaffinity", lambda _pid: found)
    return found


@pytest.mark.usefixtures("cores")
def test_two_parts_are_compared_with_two_threads(profile: Profile) -> None:
    found = plans(profile, PlanOptions("local"), [])
    assert list(found) == ["ort-tuned-unsplit-2cpu"]
    (function,) = found["ort-tuned-unsplit-2cpu"].functions
    assert (function.cpu, function.threads) == (2.0, 2)


@pytest.mark.usefixtures("cores")
def test_where_memory_buys_cpu_its_size_buys_them(profile: Profile) -> None:
    (made,) = plans(profile, PlanOptions("local", "aws-lambda-x86"), []).values()
    assert made.functions[0].memory_mib == 2 * 1769


def test_more_cpus_than_this_machine_has_are_left_out(profile: Profile, cores: set[int]) -> None:
    cores.discard(1)
    notices: list[str] = []
    assert plans(profile, PlanOptions("local"), notices) == {}
    assert notices == ["ort-tuned-unsplit-2cpu is left out: this machine has 1 cores"]

"""Waiting of parts, from figures that can be added up on paper."""

from dataclasses import replace

import pytest

from mopar.planning import Size, Slice, chain_shape, evaluate
from mopar.planning.model.calls import CallTime
from mopar.planning.model.prices import calls_usd
from mopar.planning.model.waiting import waiting_ms
from mopar.types import RuntimeCosts, ShardStep
from tests.profiles import FREE, PAPER, in_halves

BOOK = replace(PAPER, gib_s_usd=1e-5, vcpu_s_usd=1e-4)


def test_each_stage_begins_when_the_slowest_of_the_last_has_ended() -> None:
    """Both begin at 0. ``a`` computes until 10 and 15, ``b`` until 6 and 19: it waits from 6 to 10; each exchange is 1.

    ``a`` alone then computes from 19 to 22, of which 1 is the exchange; ``b`` has ended before.
    """
    stages = [
        {"a": CallTime(10.0, 0.5), "b": CallTime(6.0, 0.5)},
        {"a": CallTime(4.0, 1.0), "b": CallTime(8.0, 1.0)},
        {"a": CallTime(2.0, 1.0)},
    ]
    assert waiting_ms(stages) == {"a": 22.0 - 16.0, "b": 19.0 - 14.0}
    assert waiting_ms(stages[:1]) == {"a": 0.0, "b": 0.0}


def uneven(step: ShardStep, share: float) -> ShardStep:
    first, second = step.parts
    return replace(step, parts=(replace(first, time_share=share), replace(second, time_share=1.0 - share)))


def test_a_part_is_billed_while_it_waits() -> None:
    """Layers of 20 ms. One part computes 15 and 5 ms, the other 5 and 15, from 15 on: they are held for 20 and 30.

    A third function computes 20 ms. Each has 1 GiB: 0.07 GiB-s, and as many CPU-s. Where each step is a call of its
    own, nobody waits inside.
    """
    profile = in_halves(3)
    steps = uneven(profile.shards[0], 0.75), uneven(profile.shards[1], 0.25)
    profile = replace(profile, shards=steps, runtime=RuntimeCosts(45.0, 0.0, 0.0, 0.0, 0.0, exchange_ms=0.0))
    slices = [Slice(0, 2, Size(1024, 1.0, 1, 2), steps), Slice(2, 3, Size(1024, 1.0, 1))]
    shape = chain_shape(profile, slices)
    here = evaluate(profile, BOOK, FREE, shape)
    assert [one.latency_ms for one in here.functions] == pytest.approx([20.0, 20.0, 20.0])
    assert [one.waiting_ms for one in here.functions] == pytest.approx([0.0, 10.0, 0.0])
    assert [one.billed_ms for one in here.functions] == pytest.approx([20.0, 30.0, 20.0])
    assert here.gb_s_per_request == pytest.approx(0.07)
    assert here.cost_per_million_usd == pytest.approx(0.07 * (1e-5 + 1e-4) * 1e6)
    apart = evaluate(profile, BOOK, replace(FREE, shares_host=False), shape)
    assert [one.billed_ms for one in apart.functions] == pytest.approx([20.0, 20.0, 20.0])


def test_cpu_that_a_burst_uses_is_paid() -> None:
    """A quarter of a CPU for 10 ms is 2.5 ms of CPU; the call used 10 at full speed: 10 are paid, and memory as it is.

    Over 100 ms a quarter is 25 ms: more than was used.
    """
    gib = 1024.0
    assert calls_usd(BOOK, gib, 0.25, 10.0, 10.0, 0.0) == pytest.approx(0.01 * 1e-5 + 0.010 * 1e-4)
    assert calls_usd(BOOK, gib, 0.25, 100.0, 10.0, 0.0) == pytest.approx(0.1 * 1e-5 + 0.025 * 1e-4)

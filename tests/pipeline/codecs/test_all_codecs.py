"""The choice of codecs against trying all of them on every tensor, each measured through the real graphs."""

from dataclasses import replace

import pytest

from mopar.pipeline.codecs.calibration import Calibration
from mopar.pipeline.codecs.choose import choose
from mopar.pipeline.codecs.options import CodecOptions
from mopar.pipeline.profile import predict_model
from tests.models import materialise, sample_inputs
from tests.pipeline.codecs.oracle import MeasuredOnce, best_of_all
from tests.pipeline.codecs.test_choose import COSTS, SLOW
from tests.runtime.http.identity import LOSSLESS

WITHIN = 1.03


@pytest.mark.parametrize(("name", "cuts"), [("conv_chain", 3), ("inception", 2)])
def test_the_choice_is_nearly_the_best_of_all(name: str, cuts: int) -> None:
    model, profile = predict_model(materialise(name))
    positions = [cut.index for cut in profile.cut_positions]
    taken = tuple(sorted({positions[len(positions) * place // cuts] for place in range(cuts)}))
    requests = [sample_inputs(name, seed) for seed in range(8)]
    calibration = Calibration(tuple(requests[::2]), tuple(requests[1::2]))
    options, messages = replace(SLOW, cuts=taken), MeasuredOnce(LOSSLESS)
    for budget in (0.0, 0.4, 4.0):
        codecs = CodecOptions(budget, "relative")
        best = best_of_all(model, profile, options, calibration, codecs, COSTS, messages)
        found = choose(model, profile, options, calibration, codecs, COSTS, messages=messages)
        assert found.plan.predicted.latency_ms <= best.latency_ms * WITHIN, (best, found.plan.codecs)
        assert found.accuracy is None or found.accuracy.measured <= budget
        assert best.latency_ms <= found.plan.predicted.latency_ms * (1 + 1e-9)

"""Three plans of each reference model, verified under their limits: outputs are equal, and every function survives."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mopar.bundle import build, open_bundle
from mopar.graph import Model
from mopar.pipeline.profile import measure_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan, requests_for
from mopar.pipeline.verify import verify
from mopar.types import Profile
from tests.models import MODELS, sample_inputs

pytestmark = [pytest.mark.slow, pytest.mark.cgroup]

NAMES = ("resnet50", "minilm", "ppocr-rec", "bilstm", "two_input")
PLANS = ("cost", "uniform", "cuts")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.models if MODELS[name].deep else []) for name in NAMES],
)
def measured(
    request: pytest.FixtureRequest, reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Model, Profile]:
    """A model and its profile, measured again at the point of its sample inputs."""
    name: str = request.param
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        shapes = {key: value.shape for key, value in sample_inputs(name).items()}
        return measure_model(reference(name), shapes=shapes)


def options(plan: str, profile: Profile) -> PlanOptions:
    """The cheapest at any latency, three slices of equal time, or two cuts at a third and at two thirds."""
    if plan == "cost":
        return PlanOptions(objective="cost", slo_ms=None)
    if plan == "uniform":
        return PlanOptions(uniform=3, slo_ms=None)
    places = [cut.index for cut in profile.cut_positions]
    return PlanOptions(cuts=(places[len(places) // 3], places[2 * len(places) // 3]), slo_ms=None)


@pytest.mark.parametrize("plan", PLANS)
def test_equal_and_alive_under_limits(plan: str, measured: tuple[Model, Profile], tmp_path: Path) -> None:
    model, profile = measured
    made = make_plan(profile, options(plan, profile))
    assert plan == "cost" or len(made.functions) == 3
    build(model, made, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    requests = requests_for(model.inputs, profile.recipes)
    found = verify(bundle, ReferenceModel(model.path), requests, measure_memory=False)
    assert found.equal, f"off by {found.max_rel_error}"
    assert [function for function in found.functions if not function.survived] == []
    assert found.latency_ms.measured is not None

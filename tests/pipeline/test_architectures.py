"""A dozen architectures through profile, plans, builds, composition and serving; a benchmark has the others."""

from pathlib import Path

import pytest

from benchmarks.architectures import SUITE, materialise
from benchmarks.architectures.trial import try_architecture

pytestmark = [pytest.mark.slow, pytest.mark.models]

NAMES = (
    "two-inputs", "two-inputs-batch", "unet", "translator", "gat", "gpt-neox", "llama", "bart", "clip",
    "timm-mobilevit_xxs", "timm-vit_small_patch32_224", "r3d_18",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_plan_builds_answers_as_the_model_and_serves(name: str, tmp_path: Path) -> None:
    item = SUITE[name]
    trial = try_architecture(item, materialise(item), tmp_path, measured=False)
    assert trial.failures == ()
    assert all(plan.worst is not None for plan in trial.plans if plan.same_as is None)
    assert trial.served is not None

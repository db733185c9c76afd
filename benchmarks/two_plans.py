"""Two plans of a model on this machine: the cheapest that is a chain, and the fastest."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import Array
from mopar.pipeline.profile import measure_model
from mopar.pipeline.stages import PlanOptions, make_plan
from tests.models import materialise, sample_inputs

PLANS = {"cheapest chain": PlanOptions(max_parts=1), "fastest": PlanOptions(objective="latency")}


def two_plans(name: str) -> Iterator[tuple[str, Bundle, dict[str, Array]]]:
    """Of a zoo model, measured first: which plan, its bundle while it is used, and inputs."""
    inputs = sample_inputs(name)
    with tempfile.TemporaryDirectory(prefix="mopar-plans-") as folder:
        file = Path(folder) / "inputs.npz"
        np.savez(file, allow_pickle=False, **inputs)
        model, profile = measure_model(materialise(name), inputs=file)
        for kind, options in PLANS.items():
            build(model, make_plan(profile, options), Path(folder) / kind)
            yield kind, open_bundle(Path(folder) / kind, check=False), inputs

"""The fitted model recovers a known law, survives a round trip to a file, and refuses malformed files."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mopar.costmodel.fit import fit_families
from mopar.costmodel.fit_memory import fit_memory
from mopar.costmodel.resource_file import encoded, read_resources
from mopar.costmodel.resource_model import ResourceModel
from mopar.costmodel.samples import KernelSample, MemoryFacts, MemoryLabel, ModelSamples, Timings
from mopar.engine.work.common import Work
from mopar.engine.work.facts import NodeFacts, TensorFacts
from mopar.engine.work.families import work_of
from mopar.files import to_json, write_whole
from mopar.machine import machine_facts
from mopar.types import ProfileError, RuntimeCosts

FLOPS_PER_MS = 5e7


def gemm(rows: int, depth: int, columns: int) -> Work:
    weight = TensorFacts((depth, columns), weight=True)
    return work_of(NodeFacts("MatMul", "", (TensorFacts((rows, depth)), weight), (TensorFacts((rows, columns)),)))


def law_ms(work: Work) -> float:
    """Arithmetic at a fixed rate, half as fast for few rows."""
    return 0.002 + work.flops / FLOPS_PER_MS * (2.0 if work.features[0] < 4 else 1.0)


def label(random: np.random.Generator, base_mib: float) -> MemoryLabel:
    resident, active = random.uniform(1, 200), random.uniform(1, 20)
    facts = MemoryFacts(resident, 0.0, 0.0, active, active / 2, 0.0, 40, ("gemm",))
    return MemoryLabel(0, 1, facts, base_mib + 1.1 * resident + active + 3.0)


def samples(count: int, seed: int) -> list[ModelSamples]:
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        works = [gemm(*(int(random.integers(low, 600)) for low in (2, 32, 32))) for _ in range(30)]
        kernels = [KernelSample(k, k, work, law_ms(work), 0.6 * law_ms(work)) for k, work in enumerate(works)]
        memory = tuple(label(random, 20.0) for _ in range(6))
        timings = Timings(f"m{number}", (), sum(kernel.one_ms for kernel in kernels), None, base_mib=20.0)
        found.append(ModelSamples(f"m{number}", 30, 0.0, tuple(kernels), timings, memory))
    return found


@pytest.fixture(scope="module")
def fitted() -> ResourceModel:
    models = samples(12, seed=1)
    return ResourceModel(
        machine=machine_facts(),
        date="2026-01-01",
        families=fit_families(models),
        dispatch_ms=0.0,
        memory=fit_memory(models),
        runtime=RuntimeCosts(20.0, 0.1, 0.05, 0.1, 30.0),
    )


def twins(family: str, offset: float, random: np.random.Generator) -> list[ModelSamples]:
    """Two models that differ from all others in the same way: in time by a factor, in memory by some MiB.

    What their family is can be seen from their weights' bytes, and from an operator that no other has.
    """
    found = []
    for one in samples(2, seed=int(random.integers(1 << 30))):
        kernels = tuple(replace(kernel, one_ms=kernel.one_ms * math.exp(offset)) for kernel in one.kernels)
        memory = tuple(
            replace(
                label,
                facts=MemoryFacts(1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1, (family,)),
                required_mib=25.0 + 10 * (1 + offset),
            )
            for label in one.memory
        )
        found.append(replace(one, name=f"{family}-{one.name}", working_bytes=1e6 * math.exp(4 * offset),
                             kernels=kernels, memory=memory))  # fmt: skip
    return found


def test_models_of_a_family_are_no_strangers_to_each_other() -> None:
    """The error of a fit that has seen a model's twin says nothing about a model that has none."""
    random = np.random.default_rng(3)
    offsets = np.linspace(-1, 1, 10)
    random.shuffle(offsets)
    apart = [one for number, offset in enumerate(offsets) for one in twins(f"f{number}", float(offset), random)]
    together = [replace(one, family=one.name.partition("-")[0]) for one in apart]
    assert fit_families(together)["gemm"].error > 1.3 * fit_families(apart)["gemm"].error
    assert fit_memory(together).error > 1.3 * fit_memory(apart).error


def test_a_known_law_is_recovered_on_models_that_the_fit_never_saw(fitted: ResourceModel) -> None:
    errors, both = [], []
    for model in samples(4, seed=2):
        times = fitted.kernel_times([kernel.work for kernel in model.kernels], model.working_bytes)
        errors += [abs(math.log(t.one_ms / k.one_ms)) for t, k in zip(times, model.kernels, strict=True)]
        both += [abs(t.two_ms / t.one_ms - 0.6) for t in times]
        for one in model.memory:
            assert fitted.memory.required_mib(one.facts, 20.0) == pytest.approx(one.required_mib, rel=0.03)
    assert np.median(errors) < 0.05
    assert np.quantile(errors, 0.95) < 0.25
    assert max(both) < 0.05
    assert fitted.families["gemm"].error < 0.3


def test_what_was_never_measured_takes_time_and_has_a_wide_error(fitted: ResourceModel) -> None:
    strange = work_of(NodeFacts("Frobnicate", "custom", (TensorFacts((1, 1000)),), (TensorFacts((1, 1000)),)))
    norm = work_of(NodeFacts("Softmax", "", (TensorFacts((1, 1000)),), (TensorFacts((1, 1000)),)))
    for time in fitted.kernel_times([strange, norm], 0.0):
        assert time.one_ms > 0
        assert time.error >= 1.0


def test_a_file_keeps_every_prediction(fitted: ResourceModel, tmp_path: Path) -> None:
    path = tmp_path / "resources.json"
    write_whole(path, encoded(fitted))
    assert read_resources(path) == fitted


def damage_trees(document: dict[str, object]) -> None:
    families = document["families"]
    assert isinstance(families, dict)
    families["gemm"]["behind"]["right"][0] = 10**6


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda document: document.update(schema=99), "schema version 99"),
        (lambda document: document.pop("memory"), "memory"),
        (lambda document: document["families"].pop("other"), "no family 'other'"),
        (lambda document: document["families"]["gemm"].update(fixed_ms=-1.0), "rates"),
        (damage_trees, "is not part of a tree"),
    ],
    ids=["other version", "field missing", "no fallback", "negative rate", "trees that lead nowhere"],
)
def test_a_damaged_file_is_refused_in_one_line(
    fitted: ResourceModel, tmp_path: Path, damage: "object", message: str
) -> None:
    document = json.loads(to_json(fitted))
    assert callable(damage)
    damage(document)
    path = tmp_path / "resources.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ProfileError, match=message):
        read_resources(path)

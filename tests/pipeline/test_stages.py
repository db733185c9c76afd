"""The stages: which requests are compared, what is measured once, and what is repeated."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mopar.files import cache_directory
from mopar.gateway.arrays import Array
from mopar.measurement import call_costs
from mopar.measurement.call_costs import runtime_costs
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, requests_for
from mopar.pipeline.up import Workplace, prepare, workplace_of
from mopar.types import BundleError, InputError, InputRecipe, ModelError, RuntimeCosts, TensorSpec
from tests.graph import tiny

SPECS = (TensorSpec("x", "float32", ("n", 3)), TensorSpec("ids", "int64", ("n",)))
RECIPES = (InputRecipe("x", "float32", (2, 3), "normal", 0), InputRecipe("ids", "int64", (2,), "integers", 0))


def shapes_in(requests: list[dict[str, Array]]) -> list[tuple[tuple[int, ...], ...]]:
    return [(request["x"].shape, request["ids"].shape) for request in requests]


def test_requests_are_the_measured_point_and_others_of_its_shape() -> None:
    requests = requests_for(SPECS, RECIPES)
    assert shapes_in(requests) == [((2, 3), (2,))] * 3
    assert len({request["x"].tobytes() for request in requests}) == 3
    again = requests_for(SPECS, RECIPES, count=1)[0]
    assert all(np.array_equal(again[name], requests[0][name]) for name in again)


def test_requests_at_another_point() -> None:
    assert shapes_in(requests_for(SPECS, RECIPES, shapes={"x": (5, 3), "ids": (5,)}))[0] == ((5, 3), (5,))
    with pytest.raises(InputError, match=r"'n' is 5 in input 'x' but 2 in 'ids'"):
        requests_for(SPECS, RECIPES, shapes={"x": (5, 3)})


def test_given_values_come_first_and_set_the_shape(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez(tmp_path / "in.npz", allow_pickle=False, x=values)
    requests = requests_for(SPECS, RECIPES, inputs=tmp_path / "in.npz")
    np.testing.assert_array_equal(requests[0]["x"], values)
    assert shapes_in(requests) == [((4, 3), (4,))] * 3
    assert not np.array_equal(requests[1]["x"], values)


def test_the_reference_model_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    path, feeds = tiny.skip(tmp_path)
    (tmp_path / "notes.onnx").write_text("no model")
    for wrong, message in (("absent.onnx", "no such file"), (".", "a folder"), ("notes.onnx", "Protobuf parsing")):
        with pytest.raises(ModelError, match=message) as refused:
            ReferenceModel(tmp_path / wrong)
        assert "\n" not in str(refused.value)
    model = ReferenceModel(path)
    assert set(model.infer(feeds)) == {"y"}
    for inputs, message in (
        ({}, "it takes x, and is given nothing"),
        ({**feeds, "z": feeds["x"]}, "it takes x, and is given x, z"),
        ({"x": feeds["x"][0]}, "Invalid rank"),
        ({"x": feeds["x"].astype(np.float64)}, "Unexpected input data type"),
    ):
        with pytest.raises(InputError, match=message) as unfit:
            model.infer(inputs)
        assert "\n" not in str(unfit.value)


@pytest.fixture
def measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RuntimeCosts]:
    """Counts measurements of the machine's constants: quick ones, in a separate cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made: list[RuntimeCosts] = []

    def measure() -> RuntimeCosts:
        made.append(RuntimeCosts(20.0 + len(made), 0.2, 0.1, 0.05, 80.0, exchange_ms=0.2))
        return made[-1]

    monkeypatch.setattr(call_costs, "_measure", measure)
    return made


def test_the_machine_is_measured_once(measurements: list[RuntimeCosts]) -> None:
    first = runtime_costs()
    assert runtime_costs() == first == measurements[0]
    assert len(measurements) == 1
    assert runtime_costs(use_cache=False) == measurements[1] == runtime_costs()


def test_a_damaged_or_hindered_cache_is_none(measurements: list[RuntimeCosts]) -> None:
    runtime_costs()
    (kept,) = (cache_directory() / "runtime").iterdir()
    kept.write_text("{")
    assert runtime_costs() == measurements[1]
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("in the way")
    assert runtime_costs() == measurements[2]


class Messages:
    """Messages of a run of ``prepare``."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def __call__(self, stage: str, _share: float | None) -> None:
        self.stages.append(stage)

    @property
    def profiled(self) -> bool:
        return "measured before" not in self.stages

    @property
    def built(self) -> bool:
        return "built before" not in self.stages


def test_up_does_again_only_what_changed(
    reference: Callable[[str], Path],
    tmp_path: Path,
    new_cache: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(new_cache(tmp_path / "cache")))
    path = tmp_path / "model.onnx"
    path.write_bytes(reference("mlp").read_bytes())
    place = workplace_of(path, None)
    assert place == Workplace(tmp_path / "model.onnx.mopar")
    assert workplace_of(path, tmp_path / "w") == Workplace(tmp_path / "w")

    def up(options: PlanOptions) -> tuple[bool, bool, int]:
        """Whether the model was profiled and built, and its number of functions."""
        messages = Messages()
        bundle = prepare(path, place, options, progress=messages)
        assert bundle.root == place.bundle
        return messages.profiled, messages.built, len(bundle.manifest.plan.functions)

    cheap, split = PlanOptions(slo_ms=None), PlanOptions(uniform=2, slo_ms=None)
    assert up(cheap) == (True, True, 1)
    assert up(cheap) == (False, False, 1)
    assert up(split) == (False, True, 2)
    assert up(split) == (False, False, 2)
    next(place.bundle.glob("graphs/*.onnx")).write_bytes(b"damaged")
    assert up(split) == (False, True, 2)
    path.write_bytes(reference("skip").read_bytes())
    assert up(split) == (True, True, 2)
    (place.bundle / "manifest.json").write_text("somebody else's")
    with pytest.raises(BundleError, match="exists and is no bundle"):
        up(split)
    assert sorted(file.name for file in place.root.iterdir()) == ["bundle", "plan.json", "profile.json"]

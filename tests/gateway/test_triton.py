"""Triton's own client against the gateway: plain, binary, compressed, and in memory that both share."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.utils.shared_memory as shm
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from mopar.bundle import compare_all
from mopar.gateway.arrays import Array
from mopar.gateway.regions import FOLDER
from mopar.pipeline.bench.served import Server
from mopar.pipeline.reference import ReferenceModel
from tests.bundle.plans import built
from tests.models import materialise, sample_inputs

MODEL = "two_input"


@pytest.fixture(scope="module", params=["local", "http"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a model in three slices."""
    folder: Path = tmp_path_factory.mktemp("triton")
    with contextlib.closing(
        _Stopping(Server(built(materialise(MODEL), folder / "bundle", 3), request.param))
    ) as server:
        address = server.url.removeprefix("http://").partition("/")[0]
        with contextlib.closing(triton.InferenceServerClient(address)) as found:
            yield found


class _Stopping:
    def __init__(self, server: Server) -> None:
        self._server, self.url = server, server.client.url

    def close(self) -> None:
        self._server.stop()


@pytest.fixture
def want() -> dict[str, Array]:
    return ReferenceModel(materialise(MODEL)).infer(sample_inputs(MODEL))


def check(got: Mapping[str, Array], want: Mapping[str, Array]) -> None:
    assert all(difference.equal for difference in compare_all(got, want))


def name_of(client: Any) -> str:
    (model,) = client.get_model_repository_index()
    return str(model["name"])


def given(name: str, value: NDArray[Any]) -> Any:
    kinds = {"float32": "FP32", "int64": "INT64", "int32": "INT32", "bool": "BOOL"}
    return triton.InferInput(name, list(value.shape), kinds[str(value.dtype)])


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_answers_are_equal_however_bodies_are_written(
    client: Any, want: dict[str, Array], binary: bool, coding: str | None
) -> None:
    inputs = []
    for name, value in sample_inputs(MODEL).items():
        inputs.append(given(name, value))
        inputs[-1].set_data_from_numpy(value, binary_data=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in want]
    found = client.infer(
        name_of(client),
        inputs,
        outputs=outputs,
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    check({name: found.as_numpy(name) for name in want}, want)


def test_tensors_stay_in_memory_that_both_share(client: Any, want: dict[str, Array]) -> None:
    values = sample_inputs(MODEL)
    sizes = {**{name: value.nbytes for name, value in values.items()}, **{name: want[name].nbytes for name in want}}
    offsets = dict(zip(sizes, np.cumsum([0, *(-(-size // 64) * 64 for size in sizes.values())]).tolist(), strict=False))
    total = sum(-(-size // 64) * 64 for size in sizes.values())
    region = shm.create_shared_memory_region("tensors", "/mopar-test-tensors", total)
    try:
        client.register_system_shared_memory("tensors", "/mopar-test-tensors", total)
        inputs, outputs = [], []
        for name, value in values.items():
            shm.set_shared_memory_region(region, [value], offset=offsets[name])
            inputs.append(given(name, value))
            inputs[-1].set_shared_memory("tensors", value.nbytes, offset=offsets[name])
        for name, value in want.items():
            outputs.append(triton.InferRequestedOutput(name))
            outputs[-1].set_shared_memory("tensors", value.nbytes, offset=offsets[name])
        for _ in range(3):
            found = client.infer(name_of(client), inputs, outputs=outputs)
            for name, value in want.items():
                described = found.get_output(name)
                assert described["parameters"]["shared_memory_region"] == "tensors"
                got = shm.get_contents_as_numpy(region, value.dtype, list(value.shape), offset=offsets[name])
                check({name: got}, {name: value})
                got[...] = 0
        assert [entry["name"] for entry in client.get_system_shared_memory_status()] == ["tensors"]
        client.unregister_system_shared_memory("tensors")
        with pytest.raises(InferenceServerException, match="no region tensors"):
            client.infer(name_of(client), inputs, outputs=outputs)
    finally:
        shm.destroy_shared_memory_region(region)


def test_an_output_may_take_the_place_of_an_input(client: Any, want: dict[str, Array]) -> None:
    values = sample_inputs(MODEL)
    largest = max(value.nbytes for value in [*values.values(), *want.values()])
    region = shm.create_shared_memory_region("place", "/mopar-test-place", largest)
    try:
        client.register_system_shared_memory("place", "/mopar-test-place", largest)
        (first, value), *others = values.items()
        shm.set_shared_memory_region(region, [value])
        inputs = [given(first, value)]
        inputs[0].set_shared_memory("place", value.nbytes)
        for name, other in others:
            inputs.append(given(name, other))
            inputs[-1].set_data_from_numpy(other)
        name, value = next(iter(want.items()))
        output = triton.InferRequestedOutput(name)
        output.set_shared_memory("place", value.nbytes)
        client.infer(name_of(client), inputs, outputs=[output])
        check({name: shm.get_contents_as_numpy(region, value.dtype, list(value.shape))}, {name: value})
        client.unregister_system_shared_memory()
    finally:
        shm.destroy_shared_memory_region(region)


def test_memory_that_is_cut_short_fails_its_request_alone(client: Any, want: dict[str, Array]) -> None:
    region = shm.create_shared_memory_region("cut", "/mopar-test-cut", 1 << 20)
    try:
        client.register_system_shared_memory("cut", "/mopar-test-cut", 1 << 20)
        os.truncate(f"{FOLDER}/mopar-test-cut", 0)
        inputs, plain = [], []
        for name, value in sample_inputs(MODEL).items():
            inputs.append(given(name, value))
            inputs[-1].set_shared_memory("cut", value.nbytes)
            plain.append(given(name, value))
            plain[-1].set_data_from_numpy(value)
        with pytest.raises(InferenceServerException):
            client.infer(name_of(client), inputs)
        found = client.infer(name_of(client), plain)
        check({name: found.as_numpy(name) for name in want}, want)
        client.unregister_system_shared_memory("cut")
    finally:
        shm.destroy_shared_memory_region(region)

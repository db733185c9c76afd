"""Required memory of a real worker is the same on an empty node as beside others, whatever the disk's read-ahead."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mopar.limits import detect_cgroups, why_unavailable
from mopar.measurement.policy import MEMORY
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from tests.bundle.plans import built
from tests.measurement.node import Node, NoNodeError, own_node
from tests.models import sample_inputs

pytestmark = pytest.mark.cgroup

AGREEMENT_MIB = 3.0
FINE = replace(MEMORY, resolution_mib=1.0)  # two searches to 2 MiB may end almost that far apart for the same value
READ_AHEADS_KIB = (128, 8192)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    if detect_cgroups() is None:
        pytest.skip(str(why_unavailable()))
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(own_node(tmp_path_factory.mktemp("node")))
        except NoNodeError as error:
            pytest.skip(f"no disk can be mounted here: {error}")
        yield made


@pytest.mark.parametrize(
    "name", [pytest.param("conv_chain", marks=pytest.mark.slow), pytest.param("resnet50", marks=pytest.mark.models)]
)
def test_libraries_of_its_own_and_shared_ones_take_the_same(
    node: Node, reference: Callable[[str], Path], name: str
) -> None:
    """A small packed slice; the node's disk has Python and all libraries, which nothing else reads."""
    bundle = built(reference(name), node.root / name, pieces=8)
    calls = record(bundle, sample_inputs(name)).calls
    other, launch = (node.launch(bundle, function, calls[function]) for function in ("f0", "f1"))
    needs: dict[tuple[int, str], float] = {}
    for kib in READ_AHEADS_KIB:
        node.read_ahead(kib)
        with other.served():
            shared = required_memory(launch, cpu=1.0, policy=FINE)
        alone = required_memory(launch.alone(), cpu=1.0, policy=FINE)
        assert shared.foreign_mib > alone.foreign_mib, "the other worker is charged for shared libraries"
        needs |= {(kib, "shared"): shared.required_mib, (kib, "alone"): alone.required_mib}
    assert max(needs.values()) - min(needs.values()) <= AGREEMENT_MIB, needs

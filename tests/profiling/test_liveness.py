from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mopar.profiling.liveness import Operation, live_bytes


def _brute_force(
    operations: Sequence[Operation], sizes: dict[str, int], outputs: list[str], layers: int
) -> tuple[int, ...]:
    """By the definition: a tensor counts in a layer if it is live before or after it."""
    totals = []
    for layer in range(layers):
        total = 0
        for name, size in sizes.items():
            made = next((operation.layer for operation in operations if name in operation.makes), -1)
            read = [operation.layer for operation in operations if name in operation.reads]
            needed_at = read + [layers] * (name in outputs)
            enters = made < layer and any(use >= layer for use in needed_at)
            leaves = made <= layer and any(use > layer for use in needed_at)
            total += size * (enters or leaves)
        totals.append(total)
    return tuple(totals)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Operation], dict[str, int], list[str], list[str], int]:
    count = draw(st.integers(1, 8))
    tensors = ["in0", "in1"]
    operations: list[Operation] = []
    layer = 0
    for index in range(count):
        layer += draw(st.integers(0, 1)) if operations else 0
        reads = tuple(draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3, unique=True)))
        operations.append(Operation(layer, "Conv", reads, (f"t{index}",)))
        tensors.append(f"t{index}")
    sizes = {name: draw(st.integers(1, 100)) for name in tensors}
    outputs = draw(st.lists(st.sampled_from(tensors[2:]), min_size=1, unique=True))
    return operations, sizes, ["in0", "in1"], outputs, layer + 1


@given(graphs())
def test_live_bytes_are_those_of_the_definition(
    graph: tuple[list[Operation], dict[str, int], list[str], list[str], int],
) -> None:
    operations, sizes, inputs, outputs, layers = graph
    assert live_bytes(operations, sizes, inputs, outputs, layers) == _brute_force(operations, sizes, outputs, layers)


def _chain(second: str, *, size: int = 8) -> tuple[int, ...]:
    """in -> Conv -> a -> second -> b -> Conv -> out, one layer each."""
    operations = [
        Operation(0, "Conv", ("in",), ("a",)),
        Operation(1, second, ("a",), ("b",)),
        Operation(2, "Conv", ("b",), ("out",)),
    ]
    return live_bytes(operations, {"in": 1, "a": 8, "b": size, "out": 1}, ["in"], ["out"], 3)


def test_a_view_stands_in_its_inputs_buffer() -> None:
    assert _chain("Conv") == (9, 16, 9)
    assert _chain("Reshape") == (9, 8, 9)


def test_an_elementwise_operator_writes_over_an_input_of_its_size_that_dies() -> None:
    assert _chain("Relu") == (9, 8, 9)
    assert _chain("Relu", size=4) == (9, 12, 5)


def test_a_fused_sum_writes_over_the_branch_that_it_adds() -> None:
    """The Conv's own input cannot be overwritten; the other branch can."""
    operations = [
        Operation(0, "Conv", ("in",), ("skip",)),
        Operation(1, "Conv", ("skip",), ("a",)),
        Operation(2, "Conv", ("a",), ("inside",)),
        Operation(2, "Add", ("inside", "skip"), ("sum",)),
        Operation(2, "Relu", ("sum",), ("out",)),
    ]
    sizes = dict.fromkeys(("in", "skip", "a", "inside", "sum", "out"), 10)
    assert live_bytes(operations, sizes, ["in"], ["out"], 3) == (20, 20, 20)
    sizes["skip"] = 11
    assert live_bytes(operations, sizes, ["in"], ["out"], 3) == (21, 21, 31)

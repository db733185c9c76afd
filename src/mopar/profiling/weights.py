"""What each weight of the model takes in the built file and in memory."""

from collections.abc import Mapping, Sequence

from mopar.engine.kernels import Kernel
from mopar.engine.packed import StoredWeight
from mopar.types import WeightProfile


def weight_profiles(
    weights: Mapping[str, int],
    readers: Mapping[str, Sequence[str]],
    stored: Sequence[StoredWeight],
    kernels: Sequence[Kernel],
) -> tuple[WeightProfile, ...]:
    """Give what the optimised file stores back to the weights of the model.

    An initializer that kept its name is that weight. One that the engine made anew (a filter in the
    blocked layout, a folded batch norm) belongs to the weights that its kernels' nodes read and that
    did not keep theirs: to the one of the same size if there is one, else to all in proportion to
    their bytes. So the sums per layer hold, also where a single weight cannot be singled out.

    Args:
        weights: bytes of each weight of the canonical model.
        readers: names of the canonical nodes that read each weight.
        stored: the optimised file's initializers.
        kernels: the optimised graph's outermost kernels, in the order of its nodes.
    """
    resident = dict.fromkeys(weights, 0.0)
    in_file = dict.fromkeys(weights, 0.0)
    kept = {weight.name for weight in stored} & set(weights)
    of_node: dict[str, list[str]] = {}
    for name, nodes in readers.items():
        for node in nodes:
            of_node.setdefault(node, []).append(name)
    for weight in stored:
        for name, share in _shares(weight, weights, kept, kernels, of_node).items():
            resident[name] += share * weight.resident_bytes
            in_file[name] += share * weight.file_bytes
    return tuple(
        WeightProfile(name, size, resident_bytes=round(resident[name]), file_bytes=round(in_file[name]))
        for name, size in weights.items()
    )


def _shares(
    weight: StoredWeight,
    weights: Mapping[str, int],
    kept: set[str],
    kernels: Sequence[Kernel],
    of_node: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """Which weights of the model an initializer stands for, and in what proportion."""
    if weight.name in weights:
        return {weight.name: 1.0}
    nodes = [node for reader in weight.readers for node in kernels[reader].nodes]
    read = dict.fromkeys(name for node in nodes for name in of_node.get(node, ()))
    candidates = [name for name in read if name not in kept] or list(read)
    same = [name for name in candidates if weights[name] == weight.bytes]
    if len(same) == 1:
        return {same[0]: 1.0}
    total = sum(weights[name] for name in candidates)
    return {name: weights[name] / total for name in candidates} if total else {}

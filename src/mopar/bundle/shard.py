"""Rewrites a graph of consecutive layers into the model of one part, as planned."""

from collections.abc import Iterable
from dataclasses import replace

import onnx_ir as ir

from mopar.sharding import ConflictError, Part, piece_of, shard_model, share_of
from mopar.types import BundleError, Graph, Share, TensorSpec


def cut_part(model: ir.Model, graph: Graph) -> None:
    """Rewrite the model of a graph's layers in place into the model of the graph's part.

    Raises:
        BundleError: the part cannot be made, or reads other shares of its inputs than planned.
    """
    part = graph.part
    assert part is not None, "only a part can be cut"
    try:
        wanted = {share.tensor: piece_of(share) for share in part.outputs}
        taken = shard_model(model, wanted, Part(part.index, part.count))
    except (ConflictError, ValueError) as cause:
        raise BundleError(f"graph {graph.id}: part {part.index} of {part.count} cannot be made: {cause}") from cause
    found = {share_of(name, piece) for name, piece in taken.items()}
    if found != set(part.inputs):
        raise BundleError(f"graph {graph.id}: it takes other shares of its inputs than planned: plan it again")


def shared_specs(specs: Iterable[TensorSpec], shares: Iterable[Share]) -> tuple[TensorSpec, ...]:
    """Declarations of a part's shares of tensors, in the order of the tensors.

    Raises:
        BundleError: a share lies outside its tensor.
    """
    by_name = {share.tensor: share for share in shares}
    return tuple(_shared(spec, by_name[spec.name]) for spec in specs if spec.name in by_name)


def _shared(spec: TensorSpec, share: Share) -> TensorSpec:
    if share.axis is None:
        return spec
    dim = spec.shape[share.axis] if spec.shape is not None and 0 <= share.axis < len(spec.shape) else None
    if spec.shape is None or not isinstance(dim, int) or not 0 <= share.start < share.stop <= dim:
        raise BundleError(f"{spec.name}: it has no elements {share.start} to {share.stop} along axis {share.axis}")
    shape = (*spec.shape[: share.axis], share.stop - share.start, *spec.shape[share.axis + 1 :])
    return replace(spec, shape=shape)

"""External data: checks of where weight files may be, and digests that read them in chunks."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx_ir as ir

from mopar.files import open_regular
from mopar.nodes import subgraphs_of
from mopar.types import ModelError

_CHUNK = 1 << 20
_LARGE_BYTES = 1 << 28
_BLOCK_BYTES = 512
_MOST_HOLES = 16
"""Largest ratio of size to allocated bytes of a large file: holes cost nothing on disk, but time and room here."""


def check_external(model: ir.Model, path: Path) -> tuple[Path, ...]:
    """Check the external data files of a model and return them sorted.

    Raises:
        ModelError: a file is missing or too short, or it is outside of the model's folder: its path is
            absolute, contains ``..``, or goes through a symbolic link. The message names the file.
    """
    folder = path.parent.resolve()
    files: dict[Path, None] = {}
    for tensor in tensors_of(model):
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        location = Path(tensor.location)
        where = f"{path.name}: the external data file {str(location)!r} of tensor {tensor.name!r}"
        if location.is_absolute() or ".." in location.parts:
            raise ModelError(f"{where} leaves the model's folder; keep it beside the model")
        target = (path.parent / location).resolve()
        if not target.is_relative_to(folder):
            raise ModelError(f"{where} leads out of the model's folder to {target}; copy it beside the model")
        _check_file(target, tensor, where)
        files[target] = None
    return tuple(sorted(files))


def _check_file(target: Path, tensor: ir.ExternalTensor, where: str) -> None:
    if not target.is_file():
        raise ModelError(f"{where} is missing; put it beside the model")
    status = target.stat()
    if status.st_nlink > 1:
        raise ModelError(f"{where} has several hard links, so others can change it; replace it by a copy")
    offset, size = tensor.offset or 0, max(tensor.nbytes, tensor.length or 0)
    if tensor.length is not None and tensor.length < size:
        raise ModelError(f"{where}: {tensor.length} bytes are recorded where {size} are needed")
    if status.st_size > _LARGE_BYTES and status.st_blocks * _BLOCK_BYTES * _MOST_HOLES < status.st_size:
        raise ModelError(f"{where} says to have {status.st_size} bytes, most of which are holes; fetch it again")
    if offset < 0 or offset + size > status.st_size:
        raise ModelError(f"{where} is too short: {status.st_size} bytes, {offset + size} needed; fetch it again")


def tensors_of(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every tensor stored in the model: initializers (those of subgraphs included) and attributes."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value.const_value
    for node in model.graph.all_nodes():
        yield from _attribute_tensors(node)
    for function in model.functions.values():
        for node in function.all_nodes():
            yield from _attribute_tensors(node)


def _attribute_tensors(node: ir.Node) -> Iterator[ir.TensorProtocol]:
    for attribute in node.attributes.values():
        if attribute.is_ref() or subgraphs_of(attribute):
            continue
        if attribute.type == ir.AttributeType.TENSOR:
            yield attribute.as_tensor()
        elif attribute.type == ir.AttributeType.TENSORS:
            yield from attribute.as_tensors()


def sha256_of_files(files: tuple[Path, ...]) -> str:
    """SHA-256 over the concatenated contents of the files, read in chunks."""
    digest = hashlib.sha256()
    for file in files:
        with open_regular(file) as source:
            digest.update(os.fstat(source.fileno()).st_size.to_bytes(8, "little"))
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


class _DigestFile:
    """A file object that computes the digest of what is written to it."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)


def graph_sha256(model: ir.Model, runs: Sequence[Sequence[str]]) -> str:
    """SHA-256 of a canonical form: interface, nodes in order and grouped by ``runs``, contents of weights.

    The runs are included because plans number layers by them; an engine that fuses differently gives
    another digest. Inferred shapes of intermediate tensors are not included: they depend on the
    inference, not on the model. Large weights in external files are read in chunks.
    """
    target = _DigestFile()
    graph = model.graph
    for domain, version in sorted(graph.opset_imports.items()):
        target.write(f"opset {domain} {version}\n".encode())
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            target.write(f"{kind} {value.name} {value.type} {value.shape}\n".encode())
    target.write(f"runs {[len(run) for run in runs]}\n".encode())
    for node in graph:
        target.write(ir.to_proto(node).SerializeToString(deterministic=True))
    for identifier, function in sorted(model.functions.items()):
        target.write(f"function {identifier}\n".encode())
        target.write(ir.to_proto(function).SerializeToString(deterministic=True))
    for name, value in sorted(graph.initializers.items()):
        tensor = value.const_value
        assert tensor is not None
        target.write(f"weight {name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        _feed(tensor, target)
    return target.digest.hexdigest()


def _feed(tensor: ir.TensorProtocol, target: _DigestFile) -> None:
    if isinstance(tensor, ir.ExternalTensor):
        tensor.tofile(target)
    elif tensor.dtype == ir.DataType.STRING:
        for text in tensor.numpy().reshape(-1):
            data = text if isinstance(text, bytes) else str(text).encode()
            target.write(len(data).to_bytes(8, "little") + data)
    else:
        target.write(tensor.tobytes())

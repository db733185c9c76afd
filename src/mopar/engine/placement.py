"""Where weights lie in a packed file: what requests read comes first, in the order in which it is read.

ONNX Runtime writes each packed weight right after the original, which nothing reads any more. A fault on a mapped page
makes the kernel read what is around it too, so of such a file it keeps about twice what is needed: functions then need
up to a third more memory than when the originals lie at the end.

Tables of which requests look up rows go to a file of their own, by whose name a function knows which weights are not to
be read ahead (``mopar.runtime.mapped``).
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from mopar.engine.packed import PACKED_KEY, initializers_of, inner_nodes, packed_blobs, stored_weights
from mopar.runtime.mapped import TABLES

_PAGE, _LINE = 4096, 64
"""Where spans begin: with larger ones in the middle of pages, small models were seen to be 2% slower."""


_TABLE_BYTES = 1 << 20
"""Smaller ones are read in one go whatever the disk's read-ahead is."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of the file; ``turn`` is when they are read, as a key to sort by."""

    offset: int
    size: int
    turn: tuple[bool, int, int]
    is_table: bool = False


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a span has gone."""

    offset: int
    is_table: bool


def place_read_first(graph: Path, weights: Path) -> tuple[Path, ...]:
    """Put the weights of a packed graph's external file in the order in which requests read them.

    Args:
        graph: the ONNX file, as ONNX Runtime wrote it.
        weights: its external file, beside it.

    Returns:
        The external files: ``weights``, and beside it one with tables, if there are any; each only where it is needed.

    Raises:
        EngineError: a packed weight's record is not of the form that is known.
        OSError: the files could not be written.
    """
    model = onnx.load(graph, load_external_data=False)
    tables = weights.with_name(weights.name + TABLES)
    staging = weights.with_name(weights.name + ".placed")
    try:
        moved = _copied(weights, staging, tables, _spans(model, graph))
        for tensor in initializers_of(model.graph):
            _point(tensor, moved, tables.name)
        weights.unlink()  # renamed over it, the new file would have to reach the disk first
        staging.rename(weights)
    finally:
        staging.unlink(missing_ok=True)
    onnx.save(model, graph)
    written = []
    for file in (weights, tables):
        if file.stat().st_size:
            written.append(file)
        else:
            file.unlink()
    return tuple(written)


def _spans(model: onnx.ModelProto, graph: Path) -> Iterator[_Span]:
    stored = {weight.name: weight for weight in stored_weights(graph)}
    tables = _tables(model.graph)
    for tensor in initializers_of(model.graph):
        first = min(stored[tensor.name].readers, default=0)
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if "location" in entries:
            offset, size = int(entries["offset"]), int(entries["length"])
            is_table = tensor.name in tables and size >= _TABLE_BYTES
            yield _Span(offset, size, (not stored[tensor.name].read_as_it_is, first, offset), is_table)
        for key, record in entries.items():
            if key.startswith(PACKED_KEY):
                for offset, size, _ in packed_blobs(tensor.name, record)[1]:
                    yield _Span(offset, size, (False, first, offset))


def _tables(graph: onnx.GraphProto) -> set[str]:
    """Weights that are only looked up by row."""
    rows: set[str] = set()
    otherwise: set[str] = set()
    for node in (reader for outer in graph.node for reader in (outer, *inner_nodes(outer))):
        by_row = node.op_type == "Gather" and not any(each.name == "axis" and each.i for each in node.attribute)
        rows.update(node.input[:1] if by_row else ())
        otherwise.update(node.input[1:] if by_row else node.input)
    return rows - otherwise


def _copied(source: Path, target: Path, tables: Path, spans: Iterable[_Span]) -> dict[tuple[int, int], _Placed]:
    """Copy the spans in their turn; where each offset went. Those of a page or more begin at one."""
    moved: dict[tuple[int, int], _Placed] = {}
    with source.open("rb") as old, target.open("wb", buffering=0) as usual, tables.open("wb", buffering=0) as rows:
        ends = {False: 0, True: 0}
        for span in sorted(spans, key=lambda span: span.turn):
            if (span.offset, span.size) in moved:
                continue
            align = _PAGE if span.size >= _PAGE else _LINE
            start = -(-ends[span.is_table] // align) * align
            moved[span.offset, span.size] = _Placed(start, span.is_table)
            _copy(old.fileno(), (rows if span.is_table else usual).fileno(), span, start)
            ends[span.is_table] = start + span.size
    return moved


def _copy(source: int, target: int, span: _Span, offset: int) -> None:
    done = 0
    while done < span.size:
        count = os.copy_file_range(source, target, span.size - done, span.offset + done, offset + done)
        if count == 0:
            raise OSError(f"a packed weight of {span.size} bytes ends after {done}")
        done += count


def _point(tensor: onnx.TensorProto, moved: dict[tuple[int, int], _Placed], tables: str) -> None:
    """Tell an initializer where its bytes have gone."""
    entries = {entry.key: entry for entry in tensor.external_data}
    if "offset" in entries:
        placed = moved[int(entries["offset"].value), int(entries["length"].value)]
        entries["offset"].value = str(placed.offset)
        if placed.is_table:
            entries["location"].value = tables
    for entry in tensor.external_data:
        if entry.key.startswith(PACKED_KEY):
            key, blobs = packed_blobs(tensor.name, entry.value)
            entry.value = "|".join(
                [key, *(f"{moved[offset, size].offset};{size};{check}" for offset, size, check in blobs)]
            )

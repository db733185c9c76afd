"""Where weights lie in a packed file: what requests read comes first, in the order in which it is read.

ONNX Runtime writes each packed weight right after the original, which nothing reads any more. A fault on a mapped page
makes the kernel read what is around it too, so of such a file it keeps about twice what is needed: functions then need
up to a third more memory than when the originals lie at the end.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from mopar.engine.packed import PACKED_KEY, initializers_of, packed_blobs, stored_weights

_PAGE, _LINE = 4096, 64
"""Where spans begin: with larger ones in the middle of pages, small models were seen to be 2% slower."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of the file; ``turn`` is when they are read, as a key to sort by."""

    offset: int
    size: int
    turn: tuple[bool, int, int]


def place_read_first(graph: Path, weights: Path) -> None:
    """Put the weights of a packed graph's external file in the order in which requests read them.

    Args:
        graph: the ONNX file, as ONNX Runtime wrote it.
        weights: its external file, beside it.

    Raises:
        EngineError: a packed weight's record is not of the form that is known.
        OSError: the files could not be written.
    """
    model = onnx.load(graph, load_external_data=False)
    staging = weights.with_name(weights.name + ".placed")
    try:
        moved = _copied(weights, staging, _spans(model, graph))
        for tensor in initializers_of(model.graph):
            _point(tensor, moved)
        weights.unlink()  # renamed over it, the new file would have to reach the disk first
        staging.rename(weights)
    finally:
        staging.unlink(missing_ok=True)
    onnx.save(model, graph)


def _spans(model: onnx.ModelProto, graph: Path) -> Iterator[_Span]:
    stored = {weight.name: weight for weight in stored_weights(graph)}
    for tensor in initializers_of(model.graph):
        first = min(stored[tensor.name].readers, default=0)
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if "location" in entries:
            offset, size = int(entries["offset"]), int(entries["length"])
            yield _Span(offset, size, (not stored[tensor.name].read_as_it_is, first, offset))
        for key, record in entries.items():
            if key.startswith(PACKED_KEY):
                for offset, size, _ in packed_blobs(tensor.name, record)[1]:
                    yield _Span(offset, size, (False, first, offset))


def _copied(source: Path, target: Path, spans: Iterable[_Span]) -> dict[tuple[int, int], int]:
    """Copy the spans in their turn; where each offset went. Those of a page or more begin at one."""
    moved: dict[tuple[int, int], int] = {}
    with source.open("rb") as old, target.open("wb", buffering=0) as new:
        end = 0
        for span in sorted(spans, key=lambda span: span.turn):
            if (span.offset, span.size) in moved:
                continue
            align = _PAGE if span.size >= _PAGE else _LINE
            moved[span.offset, span.size] = end = -(-end // align) * align
            _copy(old.fileno(), new.fileno(), span, end)
            end += span.size
    return moved


def _copy(source: int, target: int, span: _Span, offset: int) -> None:
    done = 0
    while done < span.size:
        count = os.copy_file_range(source, target, span.size - done, span.offset + done, offset + done)
        if count == 0:
            raise OSError(f"a packed weight of {span.size} bytes ends after {done}")
        done += count


def _point(tensor: onnx.TensorProto, moved: dict[tuple[int, int], int]) -> None:
    """Tell an initializer where its bytes have gone."""
    length = next((int(entry.value) for entry in tensor.external_data if entry.key == "length"), 0)
    for entry in tensor.external_data:
        if entry.key == "offset":
            entry.value = str(moved[int(entry.value), length])
        elif entry.key.startswith(PACKED_KEY):
            key, blobs = packed_blobs(tensor.name, entry.value)
            entry.value = "|".join([key, *(f"{moved[offset, size]};{size};{check}" for offset, size, check in blobs)])

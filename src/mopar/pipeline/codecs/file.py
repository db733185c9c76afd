"""The file beside a plan with what its codecs were fitted to be."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mopar.bundle.sent_codecs import in_graphs
from mopar.codecs import Fitted, codec_of
from mopar.files import read_bounded, write_whole
from mopar.types import Accuracy, Plan, PlanCoding, UsageError, graph_text

_SUFFIX = ".codecs.npz"
_INDEX = "index"
_MOST_BYTES = 1 << 30
_MOST_INDEX_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor's codec; its arrays are members of the file called ``NUMBER.NAME``."""

    tensor: str
    text: str
    rank: int
    axis: int | None
    arrays: tuple[str, ...]


def codecs_path(plan: Path) -> Path:
    """The file beside a plan's."""
    return plan.with_name(plan.name + _SUFFIX)


def write_codecs(path: Path, codings: Mapping[str, Fitted], accuracy: Accuracy) -> PlanCoding:
    """Write what was fitted; returns what the plan says of it. Raises OSError."""
    entries = [
        _Entry(tensor, fitted.text, fitted.rank, fitted.axis, tuple(fitted.arrays))
        for tensor, fitted in codings.items()
    ]
    arrays: dict[str, NDArray[Any]] = {_INDEX: np.frombuffer(msgspec.json.encode(entries), np.uint8)}
    for number, fitted in enumerate(codings.values()):
        arrays |= {f"{number}.{name}": array for name, array in fitted.arrays.items()}
    data = _archive(arrays)
    write_whole(path, data)
    return PlanCoding(hashlib.sha256(data).hexdigest(), accuracy)


def read_codecs(path: Path, plan: Plan) -> dict[str, Fitted]:
    """What the codecs of a plan were fitted to be; nothing where it has none.

    Raises:
        UsageError: the file is not there, not the plan's, or damaged.
    """
    if plan.coding is None:
        return {}
    try:
        data = read_bounded(path, _MOST_BYTES)
    except OSError as cause:
        raise UsageError(f"{path}: {cause.strerror or cause}; the plan's codecs are in it: plan again") from cause
    if hashlib.sha256(data).hexdigest() != plan.coding.sha256:
        raise UsageError(f"{path}: not the codecs of this plan: plan again, or put back the file made with it")
    try:
        found = _decoded(data)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError) as cause:
        raise UsageError(f"{path}: no file of codecs: plan again") from cause
    fitted_codecs = {tensor: graph_text(text) for tensor, text in plan.codecs.items() if in_graphs(text)}
    if {tensor: fitted.text for tensor, fitted in found.items()} != fitted_codecs:
        raise UsageError(f"{path}: it has other codecs than the plan: plan again")
    return found


def _archive(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The same bytes for the same arrays; numpy's own ``savez`` allows objects in all but its latest versions."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def _decoded(data: bytes) -> dict[str, Fitted]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("compressed")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        index = arrays[_INDEX]
        if index.nbytes > _MOST_INDEX_BYTES:
            raise ValueError("too large")
        entries = msgspec.json.decode(index.tobytes(), type=list[_Entry])
        found = {}
        for number, entry in enumerate(entries):
            codec_of(entry.text)
            values = {name: arrays[f"{number}.{name}"] for name in entry.arrays}
            found[entry.tensor] = Fitted(entry.text, entry.rank, entry.axis, values)
        return found

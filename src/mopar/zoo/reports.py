r"""What the exporting process tells the one that started it, through its standard output.

A report is one record of a JSON text sequence (RFC 7464: ``\x1e``, JSON, ``\n``) and one write, so it stays whole among
whatever else libraries print there.
"""

import os

import msgspec

from mopar.types import TensorSpec

_RECORD = b"\x1e"
_LONGEST = 2000  # with names and brackets within the 4096 bytes that a pipe takes in one piece


class Stage(msgspec.Struct, frozen=True, tag=True):
    """What goes on now."""

    text: str


class Written(msgspec.Struct, frozen=True, tag=True):
    """The file is there, and takes and gives these tensors."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """An error of a user's making; ``kind`` is its class in ``mopar.types``."""

    kind: str
    message: str


class NotStored(msgspec.Struct, frozen=True, tag=True):
    """The system refused to write; ``number`` is its errno."""

    number: int


Report = Stage | Written | Refused | NotStored


def send(report: Report, descriptor: int) -> None:
    """Write a report in one piece."""
    if isinstance(report, Refused):
        report = msgspec.structs.replace(report, message=report.message[:_LONGEST])
    os.write(descriptor, b"\n" + _RECORD + msgspec.json.encode(report) + b"\n")


def report_of(line: bytes) -> Report | None:
    """The report that a line holds; None where it is something else."""
    if not line.startswith(_RECORD):
        return None
    report: Report = msgspec.json.decode(line[len(_RECORD) :], type=Report)
    return report

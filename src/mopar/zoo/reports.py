r"""Messages from the exporting process to its parent, over standard output.

A report is one record of a JSON text sequence (RFC 7464: ``\x1e``, JSON, ``\n``), written at once, so that it is not
mixed with output of libraries.
"""

import os

import msgspec

from mopar.types import TensorSpec

_RECORD = b"\x1e"
_LONGEST = 2000  # so that a record stays below the 4096 bytes that are written to a pipe atomically


class Stage(msgspec.Struct, frozen=True, tag=True):
    """The current stage."""

    text: str


class Written(msgspec.Struct, frozen=True, tag=True):
    """The file is written; its inputs and outputs."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A ``MoparError``; ``kind`` is its class in ``mopar.types``."""

    kind: str
    message: str


class NotStored(msgspec.Struct, frozen=True, tag=True):
    """Writing a file failed; ``number`` is the errno."""

    number: int


Report = Stage | Written | Refused | NotStored


def send(report: Report, descriptor: int) -> None:
    """Write a report with one system call."""
    if isinstance(report, Refused):
        report = msgspec.structs.replace(report, message=report.message[:_LONGEST])
    os.write(descriptor, b"\n" + _RECORD + msgspec.json.encode(report) + b"\n")


def report_of(line: bytes) -> Report | None:
    """Parse a line of output as a report; None where it is other output."""
    if not line.startswith(_RECORD):
        return None
    report: Report = msgspec.json.decode(line[len(_RECORD) :], type=Report)
    return report

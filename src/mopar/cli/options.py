"""Options that several verbs share."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Annotated, Literal

import typer

from mopar.shapes import InputArg, parse_input
from mopar.types import Network, UsageError
from mopar.types.ranges import StatedShape

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no notes on stderr.")]
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The model.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder made by `mopar build`.")]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=SHAPE[:DTYPE]",
        help="Shape to measure, such as image=1x3x224x224, or sizes to answer: ids=1x1..512.",
    ),
]
InputsFile = Annotated[
    Path | None, typer.Option("--inputs", metavar="FILE.npz", help="Values of inputs to measure with, by name.")
]
Platform = Annotated[str, typer.Option("--platform", metavar="NAME", help="Platform that it will run on.")]
Prices = Annotated[
    str | None, typer.Option("--prices", metavar="BOOK", help="A price book, or a TOML file; default: the platform's.")
]
Objective = Annotated[str, typer.Option("--objective", help="cost, latency or balanced.")]
Slo = Annotated[
    str | None,
    typer.Option(
        "--slo-ms", metavar="MS", help="Largest latency of a request, or none; default for cost: 1.03x unsplit."
    ),
]
MaxFunctions = Annotated[
    int | None, typer.Option("--max-functions", min=1, help="Largest number of functions; default: the platform's.")
]
Parts = Annotated[
    int | None,
    typer.Option(
        "--parts",
        metavar="N",
        min=1,
        help="Largest number of sub-slices per slice; 1 for none. Default: the profile's largest.",
    ),
]
MaxCpu = Annotated[
    float | None,
    typer.Option("--max-cpu", metavar="N", help="Most CPUs of a function; default: as many as the price book sells."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Ignore earlier measurements.")]

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free port.")]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="File with the token that requests must send.")
]

TransportName = Annotated[
    str, typer.Option("--transport", metavar="NAME", help="To the functions: local (shared memory) or http.")
]
BandwidthMbit = Annotated[
    float | None,
    typer.Option("--bandwidth-mbit", metavar="X", help="With http: emulate a network of 10^6 bits per second."),
]
RttMs = Annotated[
    float | None, typer.Option("--rtt-ms", metavar="Y", help="With http: emulate a network's round trip, in ms.")
]


def network_of(transport: str, bandwidth_mbit: float | None, rtt_ms: float | None) -> Network | None:
    """The network to emulate; None where neither option was given. Raises UsageError."""
    from mopar.platforms.base import check_transport  # with numpy and more, which --help needs not

    network = network_between(bandwidth_mbit, rtt_ms)
    check_transport(transport, network)
    return network


def network_between(bandwidth_mbit: float | None, rtt_ms: float | None) -> Network | None:
    """The network that two options describe; None where neither was given."""
    asked = bandwidth_mbit is not None or rtt_ms is not None
    return Network(bandwidth_mbit, rtt_ms or 0.0) if asked else None


def shapes_of(arguments: Sequence[InputArg]) -> dict[str, StatedShape]:
    """The stated shape of each input, by name."""
    return {argument.name: argument.stated for argument in arguments}


def dtypes_of(arguments: Sequence[InputArg]) -> dict[str, str]:
    """The element type of each input that has one, by name."""
    return {argument.name: argument.dtype for argument in arguments if argument.dtype is not None}


def parse_inputs(texts: Sequence[str] | None) -> list[InputArg]:
    """Parse all ``--input`` of a command. Raises UsageError where one is malformed or given twice."""
    arguments = [parse_input(text) for text in texts or ()]
    names = [argument.name for argument in arguments]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--input {name} is given twice")
    return arguments


def parse_slo(text: str | None) -> float | Literal["default"] | None:
    """Parse ``--slo-ms``: ``default`` where it was not given, None for ``none``. Raises UsageError."""
    if text is None:
        return "default"
    if text == "none":
        return None
    try:
        value = float(text)
    except ValueError as cause:
        raise UsageError(f"--slo-ms {text}: write milliseconds, or none") from cause
    if not 0 < value < inf:
        raise UsageError(f"--slo-ms {text}: write milliseconds above 0, or none")
    return value


def parse_cuts(text: str) -> list[int]:
    """Parse ``--cuts``, such as ``3,7,12``. Raises UsageError."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as cause:
        raise UsageError(f"--cuts {text}: write cut positions as the profile numbers them, such as 3,7,12") from cause

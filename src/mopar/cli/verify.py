"""``mopar verify``: compares a bundle with its model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mopar.cli.codecs import Calibrated
from mopar.cli.options import BundlePath, InputsFile, InputShapes, Json, Quiet, parse_inputs, shapes_of
from mopar.cli.output import Output, run, say_next, table

if TYPE_CHECKING:
    from mopar.types import Accuracy
    from mopar.types.reports import Verification, VerifiedFunction


def command(
    bundle: BundlePath,
    against: Annotated[Path, typer.Option("--against", metavar="MODEL.onnx", help="The model it was built from.")],
    inputs: InputsFile = None,
    input_shapes: InputShapes = None,
    calibration: Calibrated = None,
    memory: Annotated[bool, typer.Option(help="Measure each function's required memory (slower).")] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare a bundle's answers, memory and time with its model and its plan.

    Exit code 1: not equal, or a function did not survive its limit. Where limits cannot be set, a note says so.

    Example: mopar verify bundle/ --against resnet50.onnx
    """

    def verb(out: Output) -> int:
        from mopar.bundle import open_bundle
        from mopar.pipeline.codecs.calibration import load_calibration
        from mopar.pipeline.reference import ReferenceModel
        from mopar.pipeline.stages import requests_for
        from mopar.pipeline.verify import verify

        opened = open_bundle(bundle)
        shapes = shapes_of(parse_inputs(input_shapes))
        plan = opened.manifest.plan
        requests = requests_for(opened.manifest.inputs, plan.recipes, inputs=inputs, shapes=shapes, ranges=plan.ranges)
        held_apart = () if calibration is None else load_calibration(calibration, opened.manifest.inputs).held_apart
        out.progress("reading the model")
        found = verify(
            opened,
            ReferenceModel(against),
            requests,
            measure_memory=memory,
            held_apart=held_apart,
            progress=out.progress,
        )
        for note in found.notes:
            out.notice(note)

        def render(console: Console) -> None:
            render_verification(console, found)
            if found.passed:
                say_next(console, "serve", bundle)

        out.result(found, render)
        return 0 if found.passed else 1

    run(as_json, verb, quiet=quiet)


def render_verification(console: Console, found: "Verification") -> None:
    """Print the verification as a table, predicted beside measured."""
    word = "equal" if found.equal else "NOT EQUAL"
    if found.accuracy is not None:
        word = _accuracy_text(console, found.accuracy)
    console.print(
        f"{word} on {found.inputs} requests: largest relative error {_figure(found.max_rel_error, '.2g')}, "
        f"tolerance {found.tolerance:.2g}",
        highlight=False,
    )
    rows = [
        (
            function.name,
            f"{function.predicted_mib:.1f}",
            _figure(function.measured_mib, ".1f"),
            str(function.limit_mib),
            f"{function.predicted_ms:.2f}",
            _figure(function.measured_ms, ".2f"),
            _survival(function),
        )
        for function in found.functions
    ]
    columns = (
        *("function", "predicted\nMiB", "measured\nMiB", "limit\nMiB"),
        *("predicted\nms", "measured\nms", "survived"),
    )
    console.print(table(None, columns, rows))
    latency = found.latency_ms
    console.print(
        f"latency: predicted {latency.predicted:.2f} ms, measured {_figure(latency.measured, '.2f')} ms",
        highlight=False,
    )


def _accuracy_text(console: Console, accuracy: "Accuracy") -> str:
    """Print what lossy codecs lose; returns how answers compare with the model's."""
    budget = "" if accuracy.budget is None else f", {accuracy.budget:g} may be"
    verdict = "within its accuracy budget" if accuracy.kept else "OVER its accuracy budget"
    console.print(f"{verdict}: {accuracy.measured:.3g} points lost by {accuracy.metric}{budget}", highlight=False)
    return "encoded"


def _survival(function: "VerifiedFunction") -> str:
    if function.survived is None:
        return "unknown"
    return "yes" if function.survived else f"NO: {function.exit_reason}"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

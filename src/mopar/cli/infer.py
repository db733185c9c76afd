"""``mopar infer``: sends one request to a bundle or a server."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mopar.cli.options import Json, Quiet, TokenFile
from mopar.cli.output import Output, run, table

if TYPE_CHECKING:
    from mopar.gateway.arrays import Array


def command(
    target: Annotated[str, typer.Argument(metavar="BUNDLE|URL", help="A bundle, or a server's address.")],
    inputs: Annotated[Path, typer.Option("--inputs", metavar="FILE.npz", help="Values of the inputs, by name.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT.npz", help="Where to write the outputs.")],
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Timeout of the request.")] = 60.0,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one request on a server, or on a bundle that is started for it.

    Example: mopar infer http://127.0.0.1:8000/v2/models/resnet50 --inputs in.npz -o out.npz
    """

    def verb(out: Output) -> None:
        import numpy as np

        from mopar.files import check_output, whole_file
        from mopar.profiling import load_inputs

        check_output(output)
        values = load_inputs(inputs)
        out.progress("asking")
        if target.startswith(("http://", "https://")):
            from mopar.gateway.client import infer
            from mopar.gateway.token import read_token

            token = None if token_file is None else read_token(token_file)
            answers = infer(target, values, timeout_s=timeout_s, token=token)
        else:
            answers = _ask_bundle(Path(target), values, timeout_s, out)
        with whole_file(output) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{name: _storable(value) for name, value in answers.items()})
        document = {
            "outputs": [
                {"name": name, "dtype": str(value.dtype), "shape": list(value.shape)} for name, value in answers.items()
            ],
            "file": str(output),
        }
        out.result(document, lambda console: _render(console, answers, output))

    run(as_json, verb, quiet=quiet)


def _ask_bundle(path: Path, values: Mapping[str, "Array"], timeout_s: float, out: Output) -> dict[str, "Array"]:
    import uvloop

    from mopar.bundle import open_bundle
    from mopar.measurement.once import answer_once

    return uvloop.run(answer_once(open_bundle(path), values, timeout_s, out.notice))


def _storable(value: "Array") -> "Array":
    """An array that ``.npz`` can store without pickle: strings in place of objects."""
    return value.astype(str) if value.dtype.kind == "O" else value


def _render(console: Console, answers: Mapping[str, "Array"], path: Path) -> None:
    rows = [(name, str(value.dtype), "x".join(map(str, value.shape)) or "scalar") for name, value in answers.items()]
    console.print(table(None, ("output", "dtype", "shape"), rows))
    console.print(f"written to {path}", highlight=False)

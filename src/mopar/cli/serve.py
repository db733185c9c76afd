"""``mopar serve``: serves a bundle over the Open Inference Protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mopar.cli.gateway import ServeJob, become
from mopar.cli.options import (
    BandwidthMbit,
    BundlePath,
    Json,
    Port,
    Quiet,
    RttMs,
    TokenFile,
    TransportName,
    network_of,
)
from mopar.cli.output import Output, run
from mopar.cli.sizes import note_sizes
from mopar.gateway.options import DEFAULT_PORT, DEFAULT_QUEUE, ServeOptions

if TYPE_CHECKING:
    from mopar.bundle import Bundle


def command(
    bundle: BundlePath,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = DEFAULT_PORT,
    name: Annotated[str | None, typer.Option(help="Name of the model; default: the model file's stem.")] = None,
    queue: Annotated[int, typer.Option(min=0, help="Most requests that may wait.")] = DEFAULT_QUEUE,
    deadline_s: Annotated[float, typer.Option(min=0.001, help="Deadline of each request, waiting included.")] = 30.0,
    max_body_mib: Annotated[int, typer.Option(min=1, help="Largest request body.")] = 64,
    max_json_mib: Annotated[
        int, typer.Option(min=1, help="Largest JSON part of a request; tensors can be binary.")
    ] = 8,
    max_request_mib: Annotated[
        int | None,
        typer.Option(min=1, help="Most shared memory of a request; default: what the largest planned request takes."),
    ] = None,
    max_memory_mib: Annotated[
        int | None,
        typer.Option(min=1, help="Most shared memory of all requests; default: half of what is free at the start."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that requests may use in Host and Origin; repeatable."),
    ] = None,
    token_file: TokenFile = None,
    limits: Annotated[bool, typer.Option(help="Limit functions to the plan's memory and CPU, by cgroups.")] = True,
    transport: TransportName = "local",
    bandwidth_mbit: BandwidthMbit = None,
    rtt_ms: RttMs = None,
    functions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="JSON file of addresses of functions that run elsewhere; none is started here.",
        ),
    ] = None,
    worker: Annotated[str | None, typer.Option(hidden=True, help="Module that runs in the functions.")] = None,
    with_parent: Annotated[bool, typer.Option(hidden=True, help="End when standard input closes.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve a bundle on this machine until Ctrl-C.

    Example: mopar serve bundle/ --port 8000, then: curl localhost:8000/v2/models/NAME
    """

    def verb(out: Output) -> None:
        from mopar.bundle import WORKER, open_bundle

        network = network_of(transport, bandwidth_mbit, rtt_ms)
        # What another worker runs is in files of its own kind, which are no graphs that could be looked into.
        opened = open_bundle(bundle, check=worker in {None, WORKER}, worker=worker or WORKER)
        options = ServeOptions(
            host=host,
            port=port,
            name=name,
            queue=queue,
            deadline_s=deadline_s,
            max_body_mib=max_body_mib,
            max_json_mib=max_json_mib,
            allow_hosts=tuple(allow_host or ()),
            token_file=token_file,
            limits=limits,
            transport=transport,
            network=network,
            functions=None if functions is None else functions.resolve(),
            max_request_mib=max_request_mib,
            max_memory_mib=max_memory_mib,
        )
        serve_in_foreground(out, opened, options, with_parent=with_parent)

    run(as_json, verb, quiet=quiet)


def serve_in_foreground(out: Output, bundle: "Bundle", options: ServeOptions, *, with_parent: bool = False) -> NoReturn:
    """Pack what is not packed for this machine, and become the gateway, which serves until SIGINT or SIGTERM.

    With ``with_parent`` also until standard input closes, which happens when the parent process ends for
    whatever reason.
    """
    from mopar.bundle import prepare
    from mopar.files import cache_directory

    if options.functions is None:
        note_sizes(out, bundle.manifest.plan)
        out.progress("preparing the bundle")
        bundle = prepare(bundle, cache_directory(), out.notice).settled()
    out.done()
    become(ServeJob(bundle, options, out.as_json, out.quiet, with_parent))

"""Builds a bundle of a plan and its model; the folder is written atomically."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import onnx_ir as ir

from mopar import __version__
from mopar.bundle.calls import Sending, graph_name, output_names, part_name
from mopar.bundle.codes import Codings, code_suffixes, codes_of, encode_outputs, encoded_tensors, of_share
from mopar.bundle.folder import MANIFEST, file_entries
from mopar.bundle.lowering import LoweredCall, apply_form, lower_call
from mopar.bundle.residuals import read_residuals_in_blocks
from mopar.bundle.shard import cut_part, shared_specs
from mopar.engine.prepack import pack_graph, packed_entry
from mopar.files import from_json, read_bounded, replace_folder, storage_error, temporary_folder, to_json, write_whole
from mopar.graph import Layer, Model, boundary, extract, layers_of, save_model
from mopar.machine import machine_facts
from mopar.planning.validate.plan import check_plan
from mopar.types import (
    PACKED_OPTIONS,
    PORTABLE_OPTIONS,
    BundleError,
    Call,
    Graph,
    GraphEntry,
    Manifest,
    PackedEntry,
    Plan,
    Share,
    TensorSpec,
)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Progress = Callable[[str, float | None], None]


def build(
    model: Model,
    plan: Plan,
    out: Path,
    *,
    codings: Codings = MappingProxyType({}),
    progress: Progress = lambda _stage, _share: None,
) -> Manifest:
    """Write the bundle of ``plan`` to ``out``, replacing a bundle that exists there.

    Args:
        model: whose slices it has.
        plan: of the model.
        out: the folder.
        codings: the fitted codecs of the tensors that the plan sends encoded.
        progress: called with each stage and the share that is done.

    Raises:
        BundleError: the plan belongs to another model, a codec is missing or does not fit the model's operators, or
            ``out`` exists and is not a bundle.
        UsageError: the plan contradicts itself.
        ModelError: a boundary value is not a tensor of a known element type.
        StorageError: ``out`` cannot be written, or the model's weights cannot be read.
    """
    if plan.graph_sha256 != model.graph_sha256:
        raise BundleError(f"the plan was made for another model than {model.path}: profile and plan it again")
    target = Path(os.path.realpath(out))  # a symbolic link is kept
    _check_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{target.name}.", target.parent) as staging:
            manifest = _write(model, plan, encoded_tensors(plan, codings), staging, progress)
            write_whole(staging / MANIFEST, to_json(manifest))
            staging.chmod(0o755)
            replace_folder(staging, target)
    except OSError as cause:
        raise storage_error(cause, out) from cause
    return manifest


def _write(model: Model, plan: Plan, codings: Codings, root: Path, progress: Progress) -> Manifest:
    layers = layers_of(model)
    _check_names(plan)
    check_plan(plan, len(layers))
    graphs = {graph.id: graph for graph in plan.graphs}
    codes = code_suffixes(codings)
    sending = Sending.of(plan, codes)
    entries: dict[tuple[str, str, tuple[object, ...]], GraphEntry] = {}
    calls: list[Call] = []
    for number, call in enumerate(plan.calls):
        progress("building", number / len(plan.calls))
        graph = graphs[call.graph]
        inputs, outputs = _checked_boundary(model, layers, graph)
        lowered = lower_call(call, {spec.name: spec for spec in inputs}, sending)
        key = call.function, call.graph, lowered.form
        if key not in entries:
            name = graph_name(call.function, call.graph, len(entries) if lowered.form else None)
            made = graph_model(model, layers, graph, lowered, codings)
            given = encode_outputs(made, _in_order(outputs, call.outputs), encoders(graph, codings), output_names(plan))
            entries[key] = _write_graph(made, lowered, name, (_taken(inputs, lowered, codings), given), root)
        sent = tuple(spec.name for spec in entries[key].outputs)
        calls.append(Call(call.id, call.function, entries[key].id, lowered.call.inputs, sent))
    return Manifest(
        name=model.name,
        plan=plan,
        inputs=model.inputs,
        outputs=model.outputs,
        graphs=tuple(entries.values()),
        calls=tuple(calls),
        mopar=__version__,
        codes=codes,
    )


def _check_names(plan: Plan) -> None:
    """Check names of functions and graphs, which become parts of file names, cgroup names and URLs."""
    for name in (*(function.name for function in plan.functions), *(graph.id for graph in plan.graphs)):
        if not _NAME.fullmatch(name):
            raise BundleError(f"{name!r} cannot name a function or graph: letters, digits, - and _ only, at most 64")


def _checked_boundary(
    model: Model, layers: tuple[Layer, ...], graph: Graph
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    if not 0 <= graph.start < graph.stop <= len(layers):
        raise BundleError(f"graph {graph.id} is layers {graph.start} to {graph.stop} of a model with {len(layers)}")
    inputs, outputs = boundary(model, layers, graph.start, graph.stop)
    for what, specs, names in (("inputs", inputs, graph.inputs), ("outputs", outputs, graph.outputs)):
        known = {spec.name for spec in specs}
        if not known >= set(names) or (graph.part is None and known != set(names)):
            found = ", ".join(spec.name for spec in specs)
            raise BundleError(f"graph {graph.id}: its {what} in the model are {found}, not {', '.join(names)}")
    if graph.part is None:
        return inputs, outputs
    return shared_specs(inputs, graph.part.inputs), shared_specs(outputs, graph.part.outputs)


def graph_model(
    model: Model,
    layers: tuple[Layer, ...],
    graph: Graph,
    lowered: LoweredCall,
    codings: Codings = MappingProxyType({}),
) -> ir.Model:
    """The model that a function loads for a graph: its layers, reduced to its part, with the lowered call's inputs.

    Raises:
        BundleError: the part cannot be made, or reads other shares than planned.
    """
    made = extract(model, graph.start, graph.stop, layers)
    if graph.part is not None:
        cut_part(made, graph)
    read_residuals_in_blocks(made)
    apply_form(made, lowered.form, codings)
    return made


def encoders(graph: Graph, codings: Codings) -> Codings:
    """What encodes the outputs of a graph: of a part its shares of tensors. Raises BundleError where nothing does."""
    shares = map(Share, graph.outputs) if graph.part is None else graph.part.outputs
    return {share.tensor: of_share(codings, share) for share in shares if share.tensor in codings}


def _in_order(specs: Sequence[TensorSpec], names: Sequence[str]) -> list[TensorSpec]:
    by_name = {spec.name: spec for spec in specs}
    return [by_name[name] for name in names]


def _taken(specs: Sequence[TensorSpec], lowered: LoweredCall, codings: Codings) -> tuple[TensorSpec, ...]:
    """The inputs that a graph takes for a lowered call: sources and codes of what it assembles are of any size."""
    by_name = {spec.name: spec for spec in specs}
    for item in lowered.form:
        whole = by_name[item.tensor]
        shape = None if whole.shape is None else (None,) * len(whole.shape)
        for index, source in enumerate(item.sources):
            name = part_name(item.tensor, index)
            found = [TensorSpec(name, whole.dtype, shape)]
            if source.encoded is not None:
                fitted = codings[source.encoded.tensor]
                found = [code.spec(name) for code in codes_of(fitted, fitted.any_size(name))]
            by_name |= {spec.name: spec for spec in found}
    return tuple(by_name[item.tensor] for item in lowered.call.inputs)


def _write_graph(
    model: ir.Model,
    lowered: LoweredCall,
    name: str,
    specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    root: Path,
) -> GraphEntry:
    files = save_model(model, root / "graphs" / f"{name}.onnx")
    return GraphEntry(
        id=name,
        function=lowered.call.function,
        inputs=specs[0],
        outputs=specs[1],
        files=file_entries(root, files),
        options=PORTABLE_OPTIONS,
        packed=_pack(root, files[0], name),
    )


def _pack(root: Path, source: Path, name: str) -> PackedEntry:
    kind = machine_facts().cpu_kind
    files = pack_graph(source, root / "packed" / kind / f"{name}.onnx", PACKED_OPTIONS)
    return packed_entry(kind, PACKED_OPTIONS, file_entries(root, files))


def _check_target(out: Path) -> None:
    if out.exists() and not _is_bundle(out) and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} exists and is no bundle: remove it, or choose another folder")


def _is_bundle(folder: Path) -> bool:
    """Whether some version of mopar built the folder: other programs write a ``manifest.json`` too."""
    try:
        found = from_json(read_bounded(folder / MANIFEST), dict, what=str(folder), error=BundleError)
    except (OSError, BundleError):
        return False
    return {"graphs", "mopar", "plan", "schema"} <= found.keys()

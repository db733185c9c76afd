"""What one more step adds to a request that two functions compute side by side, measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mopar.bundle import Bundle, file_entries
from mopar.graph import save_model
from mopar.measurement.interleaved import added_by
from mopar.measurement.policy import LATENCY
from mopar.measurement.single import UNLIMITED_MIB, chain_bundle, nothing_of
from mopar.types import (
    PACKED_OPTIONS,
    REQUEST,
    Call,
    CallInput,
    Function,
    Graph,
    GraphEntry,
    GraphPart,
    Share,
    Source,
    TensorSpec,
)

_STEPS, _PRODUCTS = 8, 2
_ROWS, _WIDTH = 128, 1024


def exchange_ms(root: Path, *, rounds: int = LATENCY.long_rounds) -> float:
    """Latency of a further step, of functions that compute for about 5 ms in each: the median of what it adds.

    The same matrix products by two functions, in one step, where neither needs the other, and in eight, where each
    reads what both made in the step before; requests to the two are interleaved.

    Args:
        root: a folder to build in.
        rounds: requests of each.

    Raises:
        PlatformError, EngineError: a worker cannot be run here.
    """
    bundles = _bundle(root, 1), _bundle(root, _STEPS)
    added = added_by(*bundles, rounds=rounds)
    return max(added.latency_ms, 0.0) / (_STEPS - 1)


def _bundle(root: Path, steps: int) -> Bundle:
    """Two functions, the products in so many steps, and what they made of the last as the answers."""
    spec = TensorSpec("x", "float32", (_ROWS, _WIDTH))
    products = _STEPS * _PRODUCTS // steps
    paths = [_write(root / f"exchange{steps}-{step}", products, step) for step in range(steps)]
    one = chain_bundle("exchange", (paths[0],), ((spec,), (replace(spec, name="t1"),)), PACKED_OPTIONS)
    uses = [_use(root, paths[step], spec, step, part) for step in range(steps) for part in range(2)]
    graphs, calls = tuple(graph for graph, _, _ in uses), tuple(call for _, call, _ in uses)
    entries = tuple(entry for _, _, entry in uses)
    functions = tuple(
        Function(f"f0_{part}", tuple(f"g{step}_{part}" for step in range(steps)), UNLIMITED_MIB, 1.0)
        for part in range(2)
    )
    answer = f"t{steps}"
    plan = replace(
        one.manifest.plan,
        functions=functions,
        graphs=graphs,
        calls=calls,
        outputs=((answer, f"c{steps - 1}_0"),),
        predicted=nothing_of(functions),
    )
    outputs = (replace(spec, name=answer),)
    return Bundle(root, replace(one.manifest, plan=plan, inputs=(spec,), outputs=outputs, graphs=entries, calls=calls))


def _use(root: Path, paths: tuple[Path, ...], spec: TensorSpec, step: int, part: int) -> tuple[Graph, Call, GraphEntry]:
    """One part of a step: its graph, its call, and its files."""
    entering, leaving = ("x", "t0") if step == 0 else (f"t{step}", f"u{step}"), f"t{step + 1}"
    name, function = f"{step}_{part}", f"f0_{part}"
    shares = tuple(Share(tensor) for tensor in entering), (Share(leaving, summand=True),)
    specs = tuple(replace(spec, name=tensor) for tensor in entering)
    given = (replace(spec, name=leaving),)
    return (
        Graph(f"g{name}", step, step + 1, entering, (leaving,), GraphPart(part, 2, *shares)),
        Call(f"c{name}", function, f"g{name}", _sources(step, part, entering), (leaving,)),
        GraphEntry(f"g{name}", function, specs, given, file_entries(root, paths), PACKED_OPTIONS, None),
    )


def _sources(step: int, part: int, entering: tuple[str, str]) -> tuple[CallInput, ...]:
    """Its own tensor of the step before, and the other part's; in the first step the request's, twice."""
    makers = (REQUEST, REQUEST) if step == 0 else (f"c{step - 1}_{part}", f"c{step - 1}_{1 - part}")
    tensor = "x" if step == 0 else entering[0]
    return tuple(CallInput(name, (Source(maker, tensor),)) for name, maker in zip(entering, makers, strict=True))


def _write(folder: Path, products: int, step: int) -> tuple[Path, ...]:
    """``leaving = relu(.. relu(own W) .. W) + 0.5 other``: products of matrices, and a look at the other's tensor."""
    kind = ir.TensorType(ir.DataType.FLOAT)
    names = ("x", "t0") if step == 0 else (f"t{step}", f"u{step}")
    own, other = (ir.Value(name=name, type=kind, shape=ir.Shape((_ROWS, _WIDTH))) for name in names)
    weight = np.full((_WIDTH, _WIDTH), 1 / _WIDTH, dtype=np.float32)
    held = ir.Value(name="w", const_value=ir.tensor(weight, name="w"))
    half = ir.Value(name="half", const_value=ir.tensor(np.array(0.5, dtype=np.float32), name="half"))
    value = own
    nodes: list[ir.Node] = []
    for number in range(products):
        for operator, inputs in (("MatMul", [value, held]), ("Relu", [None])):
            taken = [nodes[-1].outputs[0] if item is None else item for item in inputs]
            nodes.append(ir.node(operator, taken, name=f"{operator}{number}"))
        value = nodes[-1].outputs[0]
    nodes.append(ir.node("Mul", [other, half], name="halved"))
    nodes.append(ir.node("Add", [value, nodes[-1].outputs[0]], name="joined"))
    made = nodes[-1].outputs[0]
    made.name, made.type, made.shape = f"t{step + 1}", kind, ir.Shape((_ROWS, _WIDTH))
    graph = ir.Graph(
        [own, other], [made], nodes=nodes, initializers=[held, half], opset_imports={"": 17}, name=folder.name
    )
    return save_model(ir.Model(graph, ir_version=8), folder.with_suffix(".onnx"))

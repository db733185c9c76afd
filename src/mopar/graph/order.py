"""A topological order in which nodes that the engine fuses are adjacent."""

import heapq
from collections import Counter

import onnx_ir as ir

from mopar.engine.kernels import attribute_kernels
from mopar.engine.session import optimised_form
from mopar.nodes import is_weight, name_of, reads_of

_SHAPE_SOURCES = {"Shape", "Size"}
_COSTLY = {"Conv", "ConvTranspose", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "GRU", "LSTM", "MatMul"}
_VIEWS = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout"}


def sort_into_runs(model: ir.Model) -> tuple[tuple[str, ...], ...]:
    """Sort the graph in place and return its runs: groups of adjacent nodes, each of which becomes a layer.

    A run is the nodes that one kernel of the engine computes, and nodes of no cost that follow it:
    computations on shapes, and views. A Shape node comes right after its input, so that no large
    tensor is kept live for it; computations on its result come as late as possible, so that few
    small tensors cross the cuts. Otherwise the order is stable.

    Raises:
        ValueError: the graph has a cycle.
    """
    graph = model.graph
    graph.sort()
    nodes = list(graph)
    dependencies = _dependencies(graph, nodes)
    shapes = _shape_computations(graph, nodes)
    groups = _fused_groups(model, nodes, shapes)
    sources = {index for index in shapes if nodes[index].op_type in _SHAPE_SOURCES}
    order = _schedule(len(nodes), dependencies, groups, sources)
    graph.remove(nodes)
    graph.extend([nodes[index] for group in order for index in group])
    return tuple(tuple(str(nodes[index].name) for index in run) for run in _join(order, graph, nodes, shapes))


def _dependencies(graph: ir.Graph, nodes: list[ir.Node]) -> list[set[int]]:
    index = {node: position for position, node in enumerate(nodes)}
    found: list[set[int]] = []
    for node in nodes:
        producers = (value.producer() for value in reads_of(node, graph))
        found.append({index[producer] for producer in producers if producer is not None})
    return found


def _shape_computations(graph: ir.Graph, nodes: list[ir.Node]) -> set[int]:
    """Nodes that only compute on shapes and constants."""
    found: set[int] = set()
    made: set[ir.Value] = set()
    for index, node in enumerate(nodes):
        data = [value for value in reads_of(node, graph) if not is_weight(value)]
        if node.op_type in _SHAPE_SOURCES or (data and all(value in made for value in data)):
            found.add(index)
            # Results of such a node are small, unless it fills a tensor of that shape.
            if node.op_type not in {"ConstantOfShape", "RandomNormal", "RandomUniform", "Expand", "Tile"}:
                made.update(node.outputs)
    return found


def _fused_groups(model: ir.Model, nodes: list[ir.Node], shapes: set[int]) -> list[list[int]]:
    """Groups of nodes that one kernel computes; a node that several kernels list belongs to the first of them."""
    optimised = optimised_form(model)
    if optimised is None:
        return []
    index = {str(node.name): position for position, node in enumerate(nodes)}
    groups: list[list[int]] = []
    taken: set[int] = set(shapes)
    kernels = [k for k in attribute_kernels(model.graph, optimised.graph) if not (k.layout_only or k.nested)]
    # Several costly kernels for the same nodes are not a fusion: the optimiser lost track of the names.
    lost = Counter(kernel.nodes for kernel in kernels if kernel.operator in _COSTLY)
    for kernel in kernels:
        if lost[kernel.nodes] > 1:
            continue
        group = sorted(position for name in kernel.nodes if (position := index[name]) not in taken)
        taken.update(group)
        if len(group) > 1:
            groups.append(group)
    return groups


def _schedule(count: int, dependencies: list[set[int]], groups: list[list[int]], eager: set[int]) -> list[list[int]]:
    """Groups and single nodes in topological order; a group that would cause a cycle is split into its nodes."""
    while True:
        units = [*groups, *([node] for node in sorted(set(range(count)).difference(*groups)))]
        order = _kahn(units, dependencies, eager)
        done = {node for unit in order for node in unit}
        stuck = [group for group in groups if group[0] not in done]
        if not stuck:
            break
        groups = [group for group in groups if group is not stuck[0]]
    assert len(done) == count, "the graph was sorted, so it has no cycle"
    return order


def _kahn(units: list[list[int]], dependencies: list[set[int]], eager: set[int]) -> list[list[int]]:
    unit_of = {node: unit for unit, members in enumerate(units) for node in members}
    waits = [{unit_of[d] for node in members for d in dependencies[node]} - {u} for u, members in enumerate(units)]
    followers: list[list[int]] = [[] for _ in units]
    for unit, before in enumerate(waits):
        for other in before:
            followers[other].append(unit)
    left = [len(before) for before in waits]
    ready = [(units[unit][0] not in eager, units[unit][0], unit) for unit, waiting in enumerate(left) if not waiting]
    heapq.heapify(ready)
    order: list[list[int]] = []
    while ready:
        unit = heapq.heappop(ready)[2]
        order.append(units[unit])
        for other in followers[unit]:
            left[other] -= 1
            if not left[other]:
                heapq.heappush(ready, (units[other][0] not in eager, units[other][0], other))
    return order


def _join(order: list[list[int]], graph: ir.Graph, nodes: list[ir.Node], shapes: set[int]) -> list[list[int]]:
    """The runs: nodes of no cost join the preceding run, or the first run where there is none."""
    runs: list[list[int]] = []
    leading: list[int] = []
    made: set[str] = set()
    for group in order:
        free = len(group) == 1 and (group[0] in shapes or _views(nodes[group[0]], graph, made))
        outputs = {name_of(value) for index in group for value in nodes[index].outputs if value.name}
        if free and runs:
            runs[-1].extend(group)
            made |= outputs
        elif free and group[0] in shapes:
            leading.extend(group)
        else:
            runs.append([*leading, *group])
            made = outputs
            leading = []
    return [*runs, leading] if leading else runs


def _views(node: ir.Node, graph: ir.Graph, made: set[str]) -> bool:
    """Whether the node is a view (no copy) of a tensor in ``made``."""
    data = [value for value in reads_of(node, graph) if not is_weight(value)]
    return node.op_type in _VIEWS and bool(data) and data[0].name in made

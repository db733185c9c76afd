"""Nodes and values of an ONNX graph: what a node reads, its bodies included, and which values are weights."""

import onnx_ir as ir


def reads_of(node: ir.Node, graph: ir.Graph) -> tuple[ir.Value, ...]:
    """Every value of ``graph`` that the node reads, those captured by its subgraphs included, once each.

    The order is that of the node's inputs, then of the captures.
    """
    found: dict[ir.Value, None] = {value: None for value in node.inputs if value is not None}
    for attribute in node.attributes.values():
        for body in subgraphs_of(attribute):
            for inner in ir.traversal.RecursiveGraphIterator(body):
                found.update((value, None) for value in inner.inputs if value is not None and value.graph is graph)
            found.update((value, None) for value in body.outputs if value.graph is graph)
    return tuple(found)


def subgraphs_of(attribute: ir.Attr) -> tuple[ir.Graph, ...]:
    """The graphs that an attribute holds: If branches, Loop and Scan bodies."""
    if attribute.is_ref():
        return ()
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.as_graph(),)
    if attribute.type == ir.AttributeType.GRAPHS:
        return tuple(attribute.as_graphs())
    return ()


def is_weight(value: ir.Value) -> bool:
    """Whether the value is a stored constant rather than something that a run computes or brings."""
    return value.is_initializer() and not value.is_graph_input()


def name_of(value: ir.Value) -> str:
    """The value's name; canonical values have one."""
    assert value.name, f"a value of {value.producer()} has no name"
    return value.name

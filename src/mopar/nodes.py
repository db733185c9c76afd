"""Nodes and values of an ONNX graph: what a node reads (its subgraphs included) and which values are weights."""

import onnx_ir as ir


def reads_of(node: ir.Node, graph: ir.Graph) -> tuple[ir.Value, ...]:
    """Every value of ``graph`` that the node or one of its subgraphs reads, once each.

    The node's inputs come first, then the values that its subgraphs capture.
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
    """Whether the value is a stored constant, not an input or a node's output."""
    return value.is_initializer() and not value.is_graph_input()


def name_of(value: ir.Value) -> str:
    """The value's name; canonical values have one."""
    assert value.name, f"a value of {value.producer()} has no name"
    return value.name

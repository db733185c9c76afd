"""What a profile says of layers, of the tensors and weights that they read, and of places between them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorProfile:
    """A tensor that crosses at least one cut position, an input or an output of the model.

    Attributes:
        name: its name in the graph.
        dtype: element type.
        shape: at the measured point.
        bytes: at the measured point.
        producer: index of the layer that makes it; -1 for an input of the request.
        consumers: indices of the layers that read it; the number of layers stands for the response.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    producer: int
    consumers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WeightProfile:
    """A weight, once, however many nodes share it.

    Attributes:
        name: the initializer.
        bytes: as stored in the model.
        resident_bytes: what the engine keeps of it in memory at run time (packed copies included,
            an original that only its packed copy replaces left out).
        file_bytes: what it takes in the built, prepacked file.
    """

    name: str
    bytes: int
    resident_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """The smallest unit that the planner moves.

    Attributes:
        index: position in the topological order.
        nodes: names of the canonical graph's nodes.
        operators: their operator types, in order.
        weights: names of the weights that they read.
        latency_ms: median time inside the whole optimised run.
        spread_ms: interquartile range of the same samples.
        weight_bytes: unpacked bytes of ``weights``.
        activation_bytes: largest sum of tensors that are live while one of its nodes runs.
        workspace_bytes: scratch that its kernels ask the engine for beyond live tensors; what they take by
            themselves is not known.
        two_threads: its time with two threads over that with one, each with its part of what no layer claims; None
            where it is not known.
    """

    index: int
    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    weights: tuple[str, ...]
    latency_ms: float
    spread_ms: float
    weight_bytes: int
    activation_bytes: int
    workspace_bytes: int = 0
    two_threads: float | None = None


@dataclass(frozen=True, slots=True)
class CutPosition:
    """A place between layers ``index - 1`` and ``index``: what is live across it.

    Attributes:
        index: 1 .. number of layers - 1.
        tensors: names of the boundary tensors.
        bytes: their sum.
        overhead_ms: time that cutting here adds beyond the hop itself: broken fusions and layout
            changes, as far as measured.
    """

    index: int
    tensors: tuple[str, ...]
    bytes: int
    overhead_ms: float = 0.0

"""A model that the engine runs in the blocked channel layout."""

from pathlib import Path

from tests.models.builder import Builder


def blocked_chain(path: Path, channels: int = 32) -> Path:
    """Convolutions, by default with as many channels as any block has, then a head in the plain layout."""
    graph = Builder("blocks")
    x = graph.input("image", (1, 3, 16, 16))
    for taken in (3, channels, channels):
        convolved = graph.add("Conv", x, graph.weight(channels, taken, 3, 3), pads=[1, 1, 1, 1])
        x = graph.add("Relu", convolved)
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    graph.output(graph.add("Gemm", flat, graph.weight(channels, 4), output="y"), (1, 4))
    graph.save(path)
    return path

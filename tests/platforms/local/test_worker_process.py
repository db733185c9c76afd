"""A worker's process as its owner sees it."""

from pathlib import Path

from mopar.platforms.local import WorkerProcess
from tests.platforms.local import graphs


def test_a_loaded_workers_socket_cannot_block_an_event_loop(tmp_path: Path) -> None:
    """With a timeout left from loading, each read would wait, and a spurious wake-up hold all requests up."""
    path = graphs.allocate(tmp_path / "graph.onnx")
    with WorkerProcess(graphs.spec(path, ("n",), ("y",))) as worker:
        worker.load(60.0)
        assert worker.socket.gettimeout() == 0

"""Graphs optimised and prepacked ahead of time, for the kind of CPU that they will run on.

ONNX Runtime writes its optimised graph with weights already in the layout that its kernels read, in an
external file that a worker only maps: loading ResNet-50 takes 15 ms instead of 180, and its weights
stay file-backed instead of being copied (https://onnxruntime.ai, ``session.save_external_prepacked_
constant_initializers``).
"""

import errno
from pathlib import Path

from mopar.types import BundleError, EngineError, EngineOptions, FileEntry, PackedEntry

_SMALLEST_EXTERNAL_BYTES = "1024"


def pack_graph(source: Path, target: Path, options: EngineOptions, threads: int = 1) -> tuple[Path, ...]:
    """Write the optimised, prepacked form of a graph.

    Args:
        source: the portable ONNX file.
        target: the ONNX file to write; its weights go beside it, with ``.data`` appended, and tables of which
            requests look up rows with ``.data.tables``.
        options: of the session that will load it.
        threads: that it will run with.

    Returns:
        The files written, the ONNX file first.

    Raises:
        BundleError: ONNX Runtime refused the graph, or packed it in a form that is not known.
        OSError: it could not write its files.
    """
    import onnxruntime

    from mopar.engine.placement import place_read_first
    from mopar.engine.plain import leave_plain
    from mopar.engine.session import ENGINE_ERRORS, engine_reason

    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = 3
    session_options.intra_op_num_threads = threads
    session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session_options.optimized_model_filepath = str(target)
    weights = target.with_name(target.name + ".data")
    entries = {
        "session.save_external_prepacked_constant_initializers": "1" if options.prepack else "0",
        "session.optimized_model_external_initializers_file_name": weights.name,
        "session.optimized_model_external_initializers_min_size_in_bytes": _SMALLEST_EXTERNAL_BYTES,
        "session.disable_prepacking": "0" if options.prepack else "1",
    }
    for key, value in entries.items():
        session_options.add_session_config_entry(key, value)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        onnxruntime.InferenceSession(str(source), session_options, providers=["CPUExecutionProvider"])
    except ENGINE_ERRORS as cause:
        reason = engine_reason(cause)
        if "write" in reason:
            raise OSError(errno.EIO, "ONNX Runtime cannot write a graph's file (no room?)", str(target)) from cause
        raise BundleError(f"{source.name}: ONNX Runtime cannot pack it: {reason}") from cause
    if not weights.exists() or not weights.stat().st_size:
        return (target,)
    try:
        leave_plain(target)
        return target, *place_read_first(target, weights)
    except EngineError as cause:
        raise BundleError(f"{source.name}: {cause}") from cause


def packed_entry(cpu_kind: str, options: EngineOptions, files: tuple[FileEntry, ...]) -> PackedEntry:
    """The manifest's entry for files made by ``pack_graph`` on this machine."""
    import onnxruntime

    return PackedEntry(cpu_kind=cpu_kind, onnxruntime=onnxruntime.__version__, options=options, files=files)

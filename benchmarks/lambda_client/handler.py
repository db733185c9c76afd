"""The same function by Lambda's own runtime client, ``awslambdaric``: what our loop is measured beside.

It is thin: the client parses messages to dicts and makes text of answers. Copied to a function's folder.
"""

import base64
import os
import time
from pathlib import Path
from typing import Any

from mopar.runtime.aws_lambda.start import loaded_function
from mopar.runtime.config import read_config
from mopar.runtime.engine import Engine
from mopar.runtime.function import Room
from mopar.runtime.request import inputs_of, sized_tensor

_FUNCTION = loaded_function(read_config(os.fspath(Path(__file__).with_name("function.json"))), Engine)
_ROOM = Room()


def fn(event: dict[object, Any], _context: object) -> dict[str, object]:
    """Answer a message of the form of ``mopar.runtime.aws_lambda.envelope``."""
    arrived_ns = time.perf_counter_ns()
    graph = _FUNCTION.graphs[event["graph"]]
    found = inputs_of(event, graph)
    data = [base64.b64decode(item["data"]) for _, _, _, item in found]  # type: ignore[arg-type]  # checked by nobody here
    tensors = [sized_tensor(port, shape, len(one)) for (_, port, shape, _), one in zip(found, data, strict=True)]
    for place, one in zip(_ROOM.place(tensors), data, strict=True):
        place[:] = one
    inputs = [(index, tensor) for (index, _, _, _), tensor in zip(found, tensors, strict=True)]
    run = _FUNCTION.run(graph.id, inputs, list(range(len(graph.outputs))))
    outputs = [
        {
            "name": port.name,
            "datatype": port.datatype,
            "shape": list(tensor.shape),
            "data": base64.b64encode(one).decode(),
        }
        for port, tensor, one in zip(graph.outputs, run.outputs, run.data, strict=True)
    ]
    run.close()
    _FUNCTION.called()
    held_ns = time.perf_counter_ns() - arrived_ns
    return {"outputs": outputs, "held_ns": held_ns, "compute_ns": run.compute_ns}

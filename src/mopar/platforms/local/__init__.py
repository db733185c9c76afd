"""This machine as a platform: one process per function, tensors in shared memory, limits by cgroups."""

from mopar.platforms.local.arena import Arena
from mopar.platforms.local.deployment import LocalDeployment, worker_spec
from mopar.platforms.local.function import CallResult, LocalFunction, SequenceResult
from mopar.platforms.local.process import GraphFile, WorkerSpec
from mopar.platforms.local.segments import Segment
from mopar.platforms.local.transport import LocalTransport
from mopar.platforms.local.worker import WorkerProcess

__all__ = [
    "Arena",
    "CallResult",
    "GraphFile",
    "LocalDeployment",
    "LocalFunction",
    "LocalTransport",
    "Segment",
    "SequenceResult",
    "WorkerProcess",
    "WorkerSpec",
    "worker_spec",
]

"""A timing process started, waited for, and its end explained."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from mopar.engine.timing.job import TimingAnswer, TimingJob, read_document, write_document
from mopar.runtime.environment import ENVIRONMENT
from mopar.types import EngineError

_CHILD = "mopar.engine.timing.child"
_DEADLINE_S = 3600.0


def run_timing(job: TimingJob, directory: Path) -> TimingAnswer:
    """Do a job in a process of its own.

    Args:
        job: its answer lies in ``directory`` too.
        directory: for what passes between the processes.

    Raises:
        EngineError: ONNX Runtime refuses the model or the inputs, or the process dies.
    """
    name, answer_file = Path(job.session.model).name, Path(job.answer)
    job_file = directory / "job.json"
    write_document(job_file, job)
    answer_file.unlink(missing_ok=True)
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", _CHILD, str(job_file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,  # no file: the disk may be full
            env=environment,
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as cause:
        raise EngineError(f"{name}: measuring took over {_DEADLINE_S:.0f} s") from cause
    if done.returncode != 0:
        ending = _ending(done.returncode, done.stderr.decode(errors="replace"))
        raise EngineError(f"{name}: the measuring process {ending}")
    answer = read_document(answer_file, TimingAnswer)
    if answer.error is not None:
        raise EngineError(f"{name}: ONNX Runtime: {' '.join(answer.error.split())}")
    return answer


def _ending(status: int, log: str) -> str:
    """How a process ended, in words."""
    if status < 0:
        hint = "; is there enough memory?" if -status == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-status).name}{hint}"
    lines = log.strip().splitlines()
    return f"failed: {lines[-1] if lines else f'exit status {status}'}"

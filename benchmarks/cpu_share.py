"""Latency under a CPU quota: measured in a cgroup, against the formula that predicts it.

    python -m benchmarks.cpu_share [--requests N] [--json FILE]

Functions of several durations at 0.25, 0.5 and 0.75 of a CPU: requests to an idle function (at any moment of a period
of 20 ms), and requests one after the other. The formula (mopar.planning.model.quota) starts from the latency at one
CPU.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.costmodel.networks import synthetic
from mopar.limits import detect_cgroups, why_unavailable
from mopar.limits.cgroup import PERIOD_US
from mopar.measurement.recording import record
from mopar.pipeline.calibration.corpus import subject
from mopar.pipeline.calibration.slices import slice_bundle
from mopar.planning.model.quota import quota_ms
from mopar.platforms import host_platform

MODELS = ("shuffle-8", "recurrent-17", "bottleneck-21", "transformer-0", "plain-1", "transformer-14")
SHARES = (1.0, 0.75, 0.5, 0.25)
GOALS = (0.10, 0.25)
PERIOD_MS = PERIOD_US / 1e3


@dataclass(frozen=True, slots=True)
class Point:
    """A function at a share, idle before each request or not: mean latency, measured and by the formula."""

    model: str
    share: float
    idle_before: bool
    samples_ms: tuple[float, ...]
    work_ms: float

    @property
    def measured_ms(self) -> float:
        """Mean latency."""
        return statistics.fmean(self.samples_ms)

    @property
    def predicted_ms(self) -> float:
        """The formula applied to the latency at a whole CPU; consecutive requests share their quotas."""
        return quota_ms(self.work_ms, self.share, PERIOD_MS) if self.idle_before else self.work_ms / self.share


def points(name: str, requests: int) -> Iterator[Point]:
    """Measure a model at every share."""
    groups = detect_cgroups()
    assert groups is not None
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="mopar-share-") as folder:
        one = subject(synthetic.write(name, Path(folder) / f"{name}.onnx"))
        bundle = slice_bundle(one.model, one.layers, (0, len(one.layers)), Path(folder) / "bundle")
        (function,) = bundle.manifest.plan.functions
        launch = host_platform().launch(bundle, function.name, record(bundle, one.inputs).calls[function.name])
        work_ms: dict[bool, float] = {}  # a function that was idle has cold caches, whatever its quota
        for share in SHARES:
            for idle in (True, False):
                with groups.create("share") as group:
                    group.limit(None, share)
                    with launch.start(group) as running:
                        samples = []
                        for number in range(requests + 3):
                            if idle or number == 0:
                                time.sleep(random.uniform(1.0, 3.0) * PERIOD_MS / 1e3)
                            samples.append(running.request())
                samples = samples[3:]
                if share == 1.0:
                    work_ms[idle] = statistics.median(samples)
                else:
                    yield Point(name, share, idle, tuple(samples), work_ms[idle])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=40, help="of each point")
    options = arguments.parse_args()
    say_where(0)
    if detect_cgroups() is None:
        raise SystemExit(str(why_unavailable()))
    found = [point for name in MODELS for point in points(name, options.requests)]
    rows = [
        (
            point.model,
            f"{point.work_ms:.2f}",
            f"{point.share:g}",
            "idle before" if point.idle_before else "one after the other",
            f"{point.measured_ms:.2f}",
            f"{point.predicted_ms:.2f}",
            f"{point.predicted_ms / point.measured_ms - 1:+.1%}",
        )
        for point in found
    ]
    table(("model", "ms at 1 CPU", "share", "requests", "measured", "predicted", "error"), rows)
    errors = [abs(point.predicted_ms / point.measured_ms - 1) for point in found]
    figures = spread(errors)
    print(f"median error {figures.p50:.1%} (goal {GOALS[0]:.0%}: {met(figures.p50 <= GOALS[0])}), "
          f"p95 {figures.p95:.1%} (goal {GOALS[1]:.0%}: {met(figures.p95 <= GOALS[1])})")  # fmt: skip
    write_raw(options.json, "cpu_share", {"points": found})


if __name__ == "__main__":
    main()

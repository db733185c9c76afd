"""A model in several configurations, measured side by side: the same worker, gateway and limits for all."""

from mopar.pipeline.bench.run import BENCH_BASELINES, BenchOptions, bench

__all__ = ["BENCH_BASELINES", "BenchOptions", "bench"]

"""Metrics as Prometheus' own client reads them."""

from prometheus_client.parser import text_string_to_metric_families

from mopar.gateway.prometheus import Counter, Gauge, Histogram, Metric, Registry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(*metrics: Metric) -> tuple[dict[str, str], Samples]:
    """Types and samples of an exposition."""
    registry = Registry()
    registry.add(*metrics)
    families = list(text_string_to_metric_families(registry.exposition().decode()))
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    return {family.name: family.type for family in families}, samples


def test_numbers_come_back_under_their_labels() -> None:
    strange = 'a "quoted" name, \\ and\na line'
    counted, gauge = Counter("done_total", "Done.", ["function", "status"]), Gauge("open", "Open.")
    counted.add("f0", "200")
    counted.add("f0", "200", by=2)
    counted.add(strange, "500")
    gauge.value = 7
    kinds, samples = read(counted, gauge, Counter("never_total", "Never."))
    assert kinds == {"done": "counter", "open": "gauge", "never": "counter"}
    assert samples == {
        ("done_total", frozenset({("function", "f0"), ("status", "200")})): 3,
        ("done_total", frozenset({("function", strange), ("status", "500")})): 1,
        ("open", frozenset()): 7,
        ("never_total", frozenset()): 0,
    }


def test_a_bucket_counts_all_up_to_its_bound() -> None:
    taken = Histogram("taken_seconds", "Taken.", ["route"], (0.5, 1.0))
    for seconds in (0.1, 0.5, 0.7, 30.0):
        taken.observe(seconds, "infer")
    kinds, samples = read(taken)
    assert kinds == {"taken_seconds": "histogram"}
    infer = ("route", "infer")
    assert samples == {
        ("taken_seconds_bucket", frozenset({infer, ("le", "0.5")})): 2,
        ("taken_seconds_bucket", frozenset({infer, ("le", "1.0")})): 3,
        ("taken_seconds_bucket", frozenset({infer, ("le", "+Inf")})): 4,
        ("taken_seconds_count", frozenset({infer})): 4,
        ("taken_seconds_sum", frozenset({infer})): 31.3,
    }

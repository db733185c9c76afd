"""Reports are versioned documents: a round trip, and the fields that programs rely on."""

import json
from dataclasses import replace

import pytest

from mopar.files import from_json, to_json
from mopar.types import MoparError
from mopar.types.profile import Machine
from mopar.types.reports import (
    BenchReport,
    BenchRow,
    GatewayCost,
    Latency,
    PredictedMeasured,
    Verification,
    VerifiedFunction,
)

VERIFICATION = Verification(
    equal=True,
    max_abs_error=1e-6,
    max_rel_error=0.1 + 0.2,
    tolerance=1e-4,
    inputs=3,
    functions=(
        VerifiedFunction("f0", 40.5, 41.0, 48, 3.25, 3.5, survived=True),
        VerifiedFunction("f1", 40.5, None, 6, 3.25, None, survived=False, exit_reason="out of memory at 6 MiB"),
    ),
    latency_ms=PredictedMeasured(7.0, None),
    notes=("memory of f0: missed",),
)
ROW = BenchRow(
    config="mopar-cost",
    functions=2,
    cpus=(1.0, 1.0),
    latency_ms=Latency(p50=7.0, p95=8.0, min=6.5),
    cpu_s_per_request=0.0075,
    engine_ms=6.0,
    memory_mib=(48, 50),
    limited=True,
    allocator="keeping",
    gb_s_per_request=0.001,
    compute_gb_s=0.0009,
    communication_gb_s=0.0001,
    gateway=GatewayCost(26.0, 0.4),
    gb_s_with_gateway=0.0012,
    cost_per_million_usd=0.02,
    cost_lambda_usd=0.25,
    costs_usd={"paper": 0.02, "aws-lambda-x86": 0.25, "small": None},
    lambda_mib=(128, 256),
    lambda_billed_ms=(40.0, 20.5),
    init_ms=(40.0, 60.0),
    efficiency=0.6,
    equal=True,
    predicted_latency_ms=None,
    predicted_gb_s=None,
    held_ms=(3.0, 3.5),
    waiting_ms=(0.0, 0.5),
    samples_ms=(7.0, 7.5),
)
BENCH = BenchReport(
    model="mlp",
    prices="paper",
    requests=2,
    read_ahead_kib=128,
    machine=Machine("cpu", "avx2", 2, 8000, "6.1", "3.11", "1.23", "0.1"),
    rows=(ROW, replace(ROW, config="uniform", predicted_latency_ms=6.9, predicted_gb_s=0.0011)),
    ratios={"mopar-cost/ort-unsplit gb_s": 0.4},
)


@pytest.mark.parametrize(
    "report", [VERIFICATION, replace(VERIFICATION, equal=False, max_abs_error=None, max_rel_error=None), BENCH]
)
def test_a_report_is_read_as_it_was_written(report: Verification | BenchReport) -> None:
    assert from_json(to_json(report), type(report), what="a report", error=MoparError) == report


@pytest.mark.parametrize("report", [VERIFICATION, BENCH])
def test_a_report_of_another_version_is_refused(report: Verification | BenchReport) -> None:
    newer = to_json(replace(report, schema=report.schema + 1))
    with pytest.raises(MoparError, match=f"schema version {report.schema + 1}, this mopar reads {report.schema};"):
        from_json(newer, type(report), what="a report", error=MoparError)


def test_a_bundle_passes_unless_a_function_is_known_to_have_died() -> None:
    lived, died = VERIFICATION.functions
    unknown = replace(lived, survived=None)
    assert replace(VERIFICATION, functions=(lived, unknown)).passed
    assert not replace(VERIFICATION, functions=(unknown, died)).passed
    assert not replace(VERIFICATION, functions=(unknown,), equal=False).passed


def test_programs_find_what_the_design_documents() -> None:
    verification, bench = json.loads(to_json(VERIFICATION)), json.loads(to_json(BENCH))
    assert {"equal", "max_abs_error", "max_rel_error", "tolerance", "functions", "latency_ms"} <= set(verification)
    function = "name predicted_mib measured_mib limit_mib predicted_ms measured_ms survived"
    assert set(function.split()) <= set(verification["functions"][0])
    assert set(verification["latency_ms"]) == {"predicted", "measured"}
    assert {"machine", "read_ahead_kib", "rows", "ratios"} <= set(bench)
    row = (
        "config functions latency_ms cpu_s_per_request engine_ms memory_mib gb_s_per_request compute_gb_s "
        "communication_gb_s gateway gb_s_with_gateway cost_per_million_usd efficiency equal"
    )
    assert set(row.split()) <= set(bench["rows"][0])
    assert {"p50", "p95", "min"} <= set(bench["rows"][0]["latency_ms"])
    assert {"memory_mib", "cpu_ms"} <= set(bench["rows"][0]["gateway"])

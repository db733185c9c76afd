"""The cost of a request as a function of its latency limit: ``python -m examples.plan_under_slo``."""

import tempfile
from pathlib import Path

import mopar
from examples.small_model import write_model
from mopar.types import Plan


def main() -> None:
    """Plan the same model under several service-level objectives."""
    with tempfile.TemporaryDirectory() as folder:
        profile = mopar.profile(mopar.load(write_model(Path(folder) / "small.onnx")))
    fastest = mopar.plan(profile, mopar.PlanOptions(objective="latency"))
    show("the fastest plan", fastest)
    for slack in (1.1, 1.5, 3.0):
        slo_ms = slack * fastest.predicted.latency_ms
        try:
            show(f"at most {slo_ms:.2f} ms", mopar.plan(profile, mopar.PlanOptions(slo_ms=slo_ms)))
        except mopar.MoparError as error:
            print(f"at most {slo_ms:.2f} ms: {error}")
    show("the cheapest plan", mopar.plan(profile, mopar.PlanOptions(slo_ms=None)))
    try:
        mopar.plan(profile, mopar.PlanOptions(slo_ms=fastest.predicted.latency_ms / 2))
    except mopar.MoparError as error:
        print(f"half of the fastest plan's latency: {error}")


def show(what: str, plan: Plan) -> None:
    """Format a plan in one line."""
    limits = "+".join(str(function.memory_mib) for function in plan.functions)
    figures = plan.predicted
    print(
        f"{what}: {plan.verdict}, {limits} MiB, {figures.latency_ms:.2f} ms, "
        f"{figures.cost_per_million_usd:.4f} USD per million requests"
    )


if __name__ == "__main__":
    main()

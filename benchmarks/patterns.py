"""Patterns of the zoo's twelve models: memory swing in three forms, dominant operators, runs of similar layers.

    python -m benchmarks.patterns [--models resnet50,gpt2] [--json FILE]

Beside the paper's figures (arXiv 2404.02445): memory swing of EfficientNet 37.52% and ConvNeXt 64.31%, Conv2D over 95%
of ResNet-50's latency. Definitions: docs/measuring.md.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.common import met, parser, say_where, table, write_raw
from benchmarks.layers import measured_layers
from mopar.profiling import RunBudget
from mopar.types import GlobalDifferences, OperatorShare, Patterns
from mopar.zoo import zoo_models

BUDGET = RunBudget(seconds=3.0, min_runs=9, max_runs=100)
CATEGORIES = {model.name: model.category for model in zoo_models()}
TWELVE = tuple(CATEGORIES)[:12]
PAPER_SWING = {"efficientnet-b0": 0.3752, "convnext-base": 0.6431}
PAPER_OPERATOR = ("resnet50", "Conv", 0.95)
MIB = 1 << 20

EXPLANATION = """\
In need, memory swings wherever layers differ: in a CNN the first layers hold large tensors and small weights, the last
ones the reverse. With all weights held, only tensors change it: little where weights outweigh them (ConvNeXt-Base),
more where they do not (EfficientNet-B0). With weights loaded so far it grows from nothing to all of them, so that
nearly all of the peak is swing. The paper states neither its form nor the variants, the batch or the framework, and no
form is close to both of its figures here. A process's own memory swings differently, since the engine keeps buffers for
later tensors, and the request its inputs: python -m benchmarks.memory_timeline prints both."""


@dataclass(frozen=True, slots=True)
class Found:
    """A model's patterns, and bytes of its largest tensors and of its weights."""

    model: str
    layers: int
    latency_ms: float
    weight_bytes: int
    activation_bytes: int
    patterns: Patterns


def found_in(name: str) -> Found:
    """Find the patterns from measured layers; memory limits are not measured."""
    print(f"  {name}", file=sys.stderr, flush=True)
    with measured_layers(name, BUDGET) as one:
        return Found(
            model=name,
            layers=len(one.layers),
            latency_ms=one.measured.times.whole_ms,
            weight_bytes=sum(weight.bytes for weight in one.weights),
            activation_bytes=max(profile.activation_bytes for profile in one.profiles),
            patterns=one.patterns,
        )


def row_of(found: Found) -> tuple[str, ...]:
    """A model's row of the table."""
    differences = found.patterns.differences
    dominant = [share for share in found.patterns.operators if share.dominant] or found.patterns.operators[:1]
    return (
        found.model,
        CATEGORIES.get(found.model, ""),
        str(found.layers),
        f"{found.latency_ms:.2f}",
        f"{found.weight_bytes / MIB:.1f}",
        f"{found.activation_bytes / MIB:.2f}",
        *(f"{share:.1%}" for share in forms(differences).values()),
        f"{differences.layers} ({differences.time_share:.0%})",
        ", ".join(operator_text(share) for share in dominant),
        str(len(found.patterns.runs)),
    )


def forms(differences: GlobalDifferences) -> dict[str, float]:
    """The three forms of the swing, formatted."""
    return {
        "in need": differences.in_need.share,
        "loaded so far": differences.loaded.share,
        "all held": differences.held.share,
    }


def operator_text(share: OperatorShare) -> str:
    """An operator, its shares of time and of memory x time, formatted."""
    mark = "" if share.dominant else " (not dominant)"
    return f"{share.operator} {share.time_share:.0%} / {share.memory_time_share:.0%}{mark}"


def against_paper(found: Sequence[Found]) -> list[str]:
    """The paper's figures of the same models, and which form of the swing is closest."""
    lines = []
    for one in found:
        if one.model in PAPER_SWING:
            paper, swings = PAPER_SWING[one.model], forms(one.patterns.differences)
            nearest = min(swings, key=lambda form: abs(swings[form] - paper))
            listed = ", ".join(f"{form} {share:.1%}" for form, share in swings.items())
            points = 100 * abs(swings[nearest] - paper)
            lines.append(
                f"{one.model}: {paper:.2%} in the paper; {listed}: {nearest!r} is nearest, {points:.1f} points off"
            )
        if one.model == PAPER_OPERATOR[0]:
            _, operator, least = PAPER_OPERATOR
            share = next(item for item in one.patterns.operators if item.operator == operator)
            reached = met(share.time_share > least)
            lines.append(
                f"{one.model}: {operator} over {least:.0%} of the latency in the paper; here {share.time_share:.1%} "
                f"and {share.memory_time_share:.1%} of memory x time: {reached}"
            )
    return lines


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(TWELVE), help=f"default: {', '.join(TWELVE)}")
    options = arguments.parse_args()
    say_where(0)
    found = [found_in(name.strip()) for name in options.models.split(",")]
    columns = (
        "model",
        "category",
        "layers",
        "ms",
        "weights MiB",
        "most tensors MiB",
        "swing in need",
        "loaded so far",
        "all held",
        "layers that count",
        "dominant operators: time / memory x time",
        "runs",
    )
    table(columns, [row_of(one) for one in found])
    lines = against_paper(found)
    if lines:
        print("\n".join(lines), EXPLANATION, sep="\n\n")
    write_raw(options.json, "patterns", {"seed": 0, "models": found})


if __name__ == "__main__":
    main()

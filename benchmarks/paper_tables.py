"""Tables of ``benchmarks.paper``: a model's rows, means of ratios, and what the paper reports."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import geometric_mean

from mopar.types.reports import BenchReport, BenchRow

TUNED = "ort-tuned-unsplit"
OWN = ("mopar-cost", "mopar-balanced", "mopar-latency")
BOOKS = ("paper", "aws-lambda-x86", "azure-functions", "openfaas")
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
Figure = Callable[[BenchRow], float | None]


def groups_of(categories: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Groups of models to take means over, from each model's category."""
    each = sorted(set(categories.values()))
    groups = {category: [name for name, found in categories.items() if found == category] for category in each}
    if len(each) > 1:
        yield from groups.items()
        yield "all without DLRM", [name for name in categories if name != "dlrm"]
    yield "all", list(categories)


def model_rows(report: BenchReport) -> Table:
    """A model's configurations."""
    columns = (
        *("configuration", "functions", "p50 ms", "GB-s", "of it waiting", "with gateway", "CPU ms", "cold start ms"),
        *("efficiency", *(f"USD/M {book}" for book in BOOKS), "equal"),
    )
    rows = [
        (
            row.label,
            str(row.functions),
            f"{row.latency_ms.p50:.2f}",
            f"{row.gb_s_per_request:.5f}",
            f"{row.waiting_gb_s:.5f}",
            f"{row.gb_s_with_gateway:.5f}",
            f"{row.cpu_s_per_request * 1e3:.2f}",
            f"{max(row.init_ms):.0f}",
            f"{row.efficiency:.3f}",
            *(_money(row.costs_usd.get(book)) for book in BOOKS),
            "yes" if row.equal else "NO",
        )
        for row in report.rows
    ]
    return columns, rows


def means(found: Sequence[BenchReport]) -> Table:
    """Each configuration over each unsplit one: geometric means of ratios; below 1 is better, but for efficiency."""
    columns = ("configuration", "over", "GB-s", "with gateway", "latency", "CPU", "cold start", "efficiency", *BOOKS)
    rows = []
    for config in ("uniform", *OWN):
        for baseline in ("ort-unsplit", TUNED, f"{TUNED}-2cpu", "torch-unsplit"):
            ratios = [_mean(found, config, baseline, figure) for figure in _FIGURES.values()]
            if any(ratio is not None for ratio in ratios):
                rows.append((config, baseline, *("-" if ratio is None else f"{ratio:.3f}" for ratio in ratios)))
    return columns, rows


def compared_with_paper(found: Sequence[BenchReport]) -> Table:
    """The paper's means, ours over both unsplit baselines, and how the definitions differ."""
    rows = []
    for what, paper, figure, form, differs in _PAPER:
        ours = [_mean(found, "mopar-cost", baseline, figure) for baseline in ("ort-unsplit", TUNED)]
        rows.append((what, paper, *("-" if one is None else form(one) for one in ours), differs))
    return ("figure", "paper", "mopar-cost over ort-unsplit", f"over {TUNED}", "what differs"), rows


def goals(found: Sequence[BenchReport]) -> tuple[tuple[str, ...], list[tuple[str, str, str, bool]]]:
    """Each goal, the measured mean, and whether it is reached."""
    rows = []
    for what, config, baseline, figure, most in _GOALS:
        ratio = _mean(found, config, baseline, figure)
        if ratio is None:
            continue
        by_factor = most < 1 and figure is not _largest_mib
        text = f"{1 / ratio:.2f}x less" if by_factor else f"{ratio:.3f}x"
        target = f"at least {1 / most:.3g}x less" if by_factor else f"at most {most:g}x"
        rows.append((f"{what} of {config} / {baseline}", text, target, ratio <= most))
    return ("goal", "measured", "target"), rows


def _mean(found: Sequence[BenchReport], config: str, baseline: str, figure: Figure) -> float | None:
    """Geometric mean of a figure's ratio over the models that have both rows; None where none has."""
    ratios = []
    for report in found:
        one, other = (_value(report, name, figure) for name in (config, baseline))
        if one and other:
            ratios.append(one / other)
    return geometric_mean(ratios) if ratios else None


def _value(report: BenchReport, config: str, figure: Figure) -> float | None:
    """A row's figure; of several uniform rows the cheapest one's."""
    rows = [row for row in report.rows if row.config == config]
    if not rows:
        return None
    return figure(min(rows, key=lambda row: row.gb_s_per_request))


def _money(usd: float | None) -> str:
    return "-" if usd is None else f"{usd:.4f}"


def _gb_s(row: BenchRow) -> float:
    return row.gb_s_per_request


def _with_gateway(row: BenchRow) -> float:
    return row.gb_s_with_gateway


def _latency(row: BenchRow) -> float:
    return row.latency_ms.p50


def _latency_of_several(row: BenchRow) -> float | None:
    """The same, for what is split: a plan of one function has no parts to compare with threads."""
    return None if row.config in OWN and row.functions == 1 else _latency(row)


def _efficiency(row: BenchRow) -> float:
    return row.efficiency


def _largest_mib(row: BenchRow) -> float:
    return max(row.memory_mib)


def _cost(book: str) -> Figure:
    return lambda row: row.costs_usd.get(book)


_FIGURES: dict[str, Figure] = {
    "GB-s": _gb_s,
    "with gateway": _with_gateway,
    "latency": _latency,
    "CPU": lambda row: row.cpu_s_per_request,
    "cold start": lambda row: max(row.init_ms),
    "efficiency": _efficiency,
    **{book: _cost(book) for book in BOOKS},
}
_PAPER: tuple[tuple[str, str, Figure, Callable[[float], str], str], ...] = (
    (
        *("resource efficiency", "+27.62%", _efficiency, lambda ratio: f"{ratio - 1:+.1%}"),
        "theirs is not defined in what was at hand; ours is memory in need over time / billed memory x time",
    ),
    (
        *("latency", "-5.52%", _latency, lambda ratio: f"{ratio - 1:+.1%}"),
        "their plan is the one that saves most too; their unsplit service runs PyTorch",
    ),
    (
        *("cost", "2.58x lower", _cost("paper"), lambda ratio: f"{1 / ratio:.2f}x lower"),
        "their price per GB-s, without a fee; their unsplit service runs PyTorch",
    ),
)
_GOALS: tuple[tuple[str, str, str, Figure, float], ...] = (
    ("GB-s", "mopar-cost", "ort-unsplit", _gb_s, 1 / 5),
    ("GB-s", "mopar-cost", TUNED, _gb_s, 1 / 2.7),
    ("GB-s with the gateway", "mopar-cost", TUNED, _with_gateway, 1 / 1.7),
    ("GB-s", "mopar-cost", "torch-unsplit", _gb_s, 1 / 12),
    ("latency", "mopar-cost", TUNED, _latency, 1.02),
    ("latency", "mopar-latency", f"{TUNED}-2cpu", _latency, 1.15),
    ("latency where split,", "mopar-latency", f"{TUNED}-2cpu", _latency_of_several, 1.15),
    ("largest function", "mopar-latency", f"{TUNED}-2cpu", _largest_mib, 0.6),
)

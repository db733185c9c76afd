"""The note about the input sizes that a plan answers."""

from collections.abc import Mapping

from mopar.cli.output import Output
from mopar.types import Plan, Profile, SizePoint, format_shape
from mopar.types.ranges import InputRange, ranges_text, sizes_text


def note_sizes(out: Output, plan: Plan) -> None:
    """Print which sizes are answered and, where no range was stated, what larger requests would need."""
    text = sizes_note(plan)
    if text:
        out.notice(text)


def sizes_note(plan: Plan) -> str:
    """The note for a plan; empty where its inputs have one size each."""
    open_inputs = [item for item in plan.ranges if item.is_open]
    if not open_inputs:
        return ""
    point = {recipe.name: recipe.shape for recipe in plan.recipes}
    if any(item.stated for item in open_inputs):
        return (
            f"answers {ranges_text(plan.ranges)}: memory is planned for the largest, latency for "
            f"{sizes_text(point, plan.ranges)}"
        )
    largest = ", ".join(f"{item.name} of at most {format_shape(item.largest)}" for item in open_inputs)
    return f"answers {largest}, and refuses larger requests{_beyond_text(plan, open_inputs)}"


def _beyond_text(plan: Plan, open_inputs: list[InputRange]) -> str:
    """What a larger request would need, and the options that widen the range."""
    if plan.beyond is None:
        return ""
    pairs = zip(plan.beyond.memory_mib, plan.functions, strict=True)
    need, function = max(pairs, key=lambda pair: pair[0] / pair[1].memory_mib)
    widened = " ".join(f"--input {item.widened(plan.beyond.shapes[item.name])}" for item in open_inputs)
    return (
        f": {sizes_text(plan.beyond.shapes, plan.ranges)} would need about {need:.0f} MiB in {function.name}, whose "
        f"limit is {function.memory_mib}; profile with {widened} to have it answered"
    )


def growth_rows(profile: Profile) -> list[tuple[str, str, str]]:
    """Rows of (sizes, latency, memory) of the unsplit model, smallest sizes first."""
    point = {recipe.name: recipe.shape for recipe in profile.recipes}
    whole_mib = profile.whole.memory_mib if profile.largest is None else None
    rows = [_row(profile.smallest, profile.ranges), (_text(point, profile.ranges), f"{profile.whole.latency_ms:.2f}",
            "-" if whole_mib is None else f"{whole_mib:.0f}")]  # fmt: skip
    rows += [_row(profile.largest, profile.ranges), _row(profile.beyond, profile.ranges)]
    return [row for row in rows if row is not None]


def _row(size: SizePoint | None, ranges: tuple[InputRange, ...]) -> tuple[str, str, str] | None:
    if size is None:
        return None
    latency = "-" if size.latency_ms is None else f"{size.latency_ms:.2f}"
    return _text(size.shapes, ranges), latency, f"{size.memory_mib:.0f}"


def _text(shapes: Mapping[str, tuple[int, ...]], ranges: tuple[InputRange, ...]) -> str:
    return sizes_text(shapes, ranges)

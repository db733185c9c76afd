"""A platform's own options: a frozen dataclass, read from the words of a command line.

    @dataclass(frozen=True, slots=True)
    class Options:
        engine: Annotated[str | None, Meta(description="podman or docker; default: which is found")] = None
        registry: ...

A field ``base_image`` is the option ``--base-image``. Fields of type bool are flags (``--expose``, ``--no-expose``);
tuples collect an option that is given several times.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from mopar.types import UsageError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class OptionHelp:
    """An option as ``--help`` shows it."""

    flag: str
    text: str


def parse_options(kind: type[T], words: Sequence[str], platform: str) -> T:
    """The options in ``words``, such as ``["--engine", "podman", "--port=80"]``.

    Args:
        kind: the platform's dataclass.
        words: of the command line, without those that every platform takes.
        platform: its name, for messages.

    Raises:
        UsageError: an option is unknown, lacks its value, is given twice, or its value is wrong.
    """
    hints = get_type_hints(kind)
    found: dict[str, object] = {}
    rest = list(words)
    while rest:
        flag, given, value = rest.pop(0).partition("=")
        field, switched_off = _field_of(flag, hints, platform)
        if _is(hints[field], bool):
            if given:
                raise UsageError(f"{flag} takes no value")
            _enter(found, field, flag, not switched_off)
            continue
        if not given:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"{flag} lacks its value")
            value = rest.pop(0)
        if _is(hints[field], tuple):
            found[field] = (*_collected(found, field), value)
        else:
            _enter(found, field, flag, value)
    return made_options(kind, found, platform)


def made_options(kind: type[T], found: Mapping[str, object], platform: str) -> T:
    """The options of these values, which may be texts. Raises UsageError naming one that is wrong or unknown."""
    unknown = found.keys() - {field.name for field in dataclasses.fields(cast("Any", kind))}
    if unknown:
        raise UsageError(f"{min(unknown)}: no such option of the platform {platform}")
    try:
        return msgspec.convert(dict(found), kind, strict=False, dec_hook=_path)
    except msgspec.ValidationError as cause:
        why, _, place = str(cause).partition(" - at `$.")
        field = place.rstrip("`").split("[", 1)[0]
        if not field:
            raise UsageError(f"options of the platform {platform}: {why}") from cause
        raise UsageError(f"{_flag(field)} {found.get(field)}: {why}") from cause


def options_help(kind: type[Any]) -> tuple[OptionHelp, ...]:
    """Each option with its description, in the dataclass's order."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(OptionHelp(_flag(field.name), _description(hints[field.name])) for field in dataclasses.fields(kind))


def _field_of(flag: str, hints: Mapping[str, Any], platform: str) -> tuple[str, bool]:
    """The field that a flag sets, and whether the flag switches it off."""
    name = flag.removeprefix("--").replace("-", "_")
    if flag.startswith("--") and name in hints:
        return name, False
    positive = name.removeprefix("no_")
    if flag.startswith("--no-") and positive in hints and _is(hints[positive], bool):
        return positive, True
    known = ", ".join(map(_flag, hints)) or "none"
    what = "no such option" if flag.startswith("-") else "not an option"
    raise UsageError(f"{flag}: {what}; those of the platform {platform}: {known}")


def _enter(found: dict[str, object], field: str, flag: str, value: object) -> None:
    if field in found:
        raise UsageError(f"{flag} is given twice")
    found[field] = value


def _collected(found: Mapping[str, object], field: str) -> tuple[object, ...]:
    earlier = found.get(field, ())
    assert isinstance(earlier, tuple), "only tuples are collected"
    return earlier


def _path(kind: type, text: object) -> Path:
    assert kind is Path, f"options hold no {kind}"
    return Path(str(text))


def _is(hint: object, kind: type) -> bool:
    return hint is kind or get_origin(hint) is kind


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _description(hint: object) -> str:
    if get_origin(hint) is not Annotated:
        return ""
    texts = [item.description for item in get_args(hint)[1:] if isinstance(item, msgspec.Meta) and item.description]
    return texts[0] if texts else ""

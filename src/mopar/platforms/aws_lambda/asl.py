"""States of the Amazon States Language, as far as plans need them (https://states-language.net/spec.html)."""

from collections.abc import Mapping

import msgspec

Template = Mapping[str, object]
"""A payload template: fields whose names end with ``.$`` are paths or intrinsic functions."""


class Retry(msgspec.Struct, frozen=True, rename="pascal"):
    """When and how a task is tried again."""

    error_equals: tuple[str, ...]
    interval_seconds: int
    max_attempts: int
    backoff_rate: float
    jitter_strategy: str = "FULL"


class Catch(msgspec.Struct, frozen=True, rename="pascal"):
    """Where an error leads."""

    error_equals: tuple[str, ...]
    result_path: str
    next: str


class Task(msgspec.Struct, frozen=True, rename="pascal", tag_field="Type", tag="Task"):
    """A call of a function."""

    resource: str
    parameters: Template
    result_selector: Template
    result_path: str
    timeout_seconds: int
    retry: tuple[Retry, ...]
    catch: tuple[Catch, ...]
    next: str


class Rule(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A condition of a choice; ``next`` is empty inside ``and_``."""

    next: str = ""
    variable: str = ""
    is_present: bool = False
    string_equals: str | None = None
    and_: "tuple[Rule, ...]" = msgspec.field(default=(), name="And")


class Choice(msgspec.Struct, frozen=True, rename="pascal", tag_field="Type", tag="Choice"):
    """The first rule that holds leads on."""

    choices: tuple[Rule, ...]
    default: str


class Fail(msgspec.Struct, frozen=True, rename="pascal", tag_field="Type", tag="Fail", omit_defaults=True):
    """An end in an error."""

    error: str = ""
    cause: str = ""
    cause_path: str = ""


class Pass(msgspec.Struct, frozen=True, rename="pascal", tag_field="Type", tag="Pass", omit_defaults=True):
    """Data as a template makes it; ``result_path`` is where it goes, the state's whole output by default."""

    parameters: Template
    result_path: str = "$"
    next: str = ""
    end: bool = False


class Branch(msgspec.Struct, frozen=True, rename="pascal"):
    """A state machine inside a parallel state."""

    start_at: str
    states: "dict[str, State]"


class ParallelState(msgspec.Struct, frozen=True, rename="pascal", tag_field="Type", tag="Parallel"):
    """Branches at the same time, each with the state's input."""

    branches: tuple[Branch, ...]
    result_selector: Template
    result_path: str
    catch: tuple[Catch, ...]
    next: str


State = Task | Choice | Fail | Pass | ParallelState


class Machine(msgspec.Struct, frozen=True, rename="pascal"):
    """A state machine."""

    comment: str
    start_at: str
    timeout_seconds: int
    states: dict[str, State]

"""A state machine that runs a plan: a task for each call, tensors as pointers to S3.

    {"inputs": [{"name", "datatype", "shape", "object": KEY, or "data": BASE64}, ..]}   in the model's order
    {"outputs": [..]}                                                                    the same

A state holds 256 KiB at most, so tensors above a threshold, which follows from the plan, are objects below
``PREFIX/EXECUTION/CALL/``, and so are those of which calls read regions. Queries are JSONPath.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mopar.bundle.call_plans import CallPlan, Made, call_plans
from mopar.platforms.aws_lambda.asl import (
    Branch,
    Catch,
    Choice,
    Fail,
    Machine,
    ParallelState,
    Pass,
    Retry,
    Rule,
    State,
    Task,
)
from mopar.platforms.aws_lambda.order import Parallel, Sequential, ordered
from mopar.platforms.aws_lambda.views import views_of
from mopar.types import MOST_INLINE_BYTES, REQUEST, Manifest, PlatformError, most_pointers
from mopar.types import inline_bytes as inline_bytes_of

EXPRESS_S = 300
"""Longest execution of an Express workflow."""
STATE_BYTES = 256 << 10
_MOST_INLINE_BYTES = MOST_INLINE_BYTES
_TRANSIENT = ("Lambda.ServiceException", "Lambda.TooManyRequestsException", "Lambda.SdkClientException")
_RETRY = Retry(_TRANSIENT, interval_seconds=1, max_attempts=3, backoff_rate=2.0)
_WRONG_INPUTS, _CALL_FAILED = "Mopar.WrongInputs", "Mopar.CallFailed"
"""A state may not fail with an error's name that begins with ``States.``, so what was caught stands in the cause."""
_FAILURE = "$.failure"
_NAME_CHARACTERS = 60
"""Of a state's name, with what is added to it; 80 are the most."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a state machine calls and where tensors go; texts may be placeholders for ``DefinitionSubstitutions``.

    Attributes:
        functions: function -> ARN of the version that is called.
        bucket: of the tensors' objects.
        prefix: of their keys, with a slash at its end.
        partition: of the region, such as ``aws``.
        timeout_s: of a call.
    """

    functions: Mapping[str, str]
    bucket: str
    prefix: str
    partition: str
    timeout_s: int


def state_machine(manifest: Manifest, targets: Targets) -> bytes:
    """The definition, as JSON.

    Raises:
        PlatformError: the plan cannot be run by Step Functions; says what would do.
    """
    plans = call_plans(manifest)
    machine = _Writer(manifest, plans, targets).machine(ordered(plans))
    return msgspec.json.format(msgspec.json.encode(machine), indent=2) + b"\n"


def inline_bytes(manifest: Manifest) -> int:
    """The largest tensor that is passed in the state itself. Raises PlatformError where no pointers would fit."""
    count = len(manifest.inputs) + sum(len(call.outputs) for call in manifest.calls)
    found = inline_bytes_of(STATE_BYTES, count, _MOST_INLINE_BYTES)
    if found < 0:
        raise PlatformError(
            f"the plan makes {count} tensors in a request, and a state machine's 256 KiB hold pointers to "
            f"{most_pointers(STATE_BYTES)}: use --orchestration gateway, or plan with --max-functions"
        )
    return found


class _Writer:
    """Writes the states of one machine. Calls are known by their places: ids are whatever a plan has."""

    def __init__(self, manifest: Manifest, plans: Sequence[CallPlan], targets: Targets) -> None:
        self._manifest = manifest
        self._targets = targets
        self._inline_bytes = inline_bytes(manifest)
        self._keys = {plan.call.id: f"c{number}" for number, plan in enumerate(plans)}
        self._readers = _readers(plans)
        self._kept = set(manifest.plan.outputs)
        views = views_of(manifest, plans)
        self._views = {view: f"v{number}" for number, view in enumerate(dict.fromkeys(views.values()))}
        self._seen_as = views
        self._stored_whole = {
            made[1]
            for plan in plans
            for made, region in zip(plan.sources, plan.taken, strict=True)
            if region is not None
        }
        self._groups = 0

    def machine(self, order: Sequential) -> Machine:
        inputs = self._manifest.inputs
        where: _Paths = {(spec.name, REQUEST): f"$.given.i{place}" for place, spec in enumerate(inputs)}
        states: dict[str, State] = {}
        first, where = self._sequence(order, where, states, "outputs")
        states["outputs"] = Pass({"outputs.$": _array(where[made] for made in self._manifest.plan.outputs)}, end=True)
        comment = f"{self._manifest.name}: {len(self._manifest.calls)} calls, written by mopar"
        return Machine(comment, "inputs", EXPRESS_S, {**self._begin(first), **states})

    def _begin(self, then: str) -> dict[str, State]:
        """Inputs are told by their places, so those in other places must not pass for them.

        With them goes what graphs see of tensors in another way than their producers.
        """
        names = [spec.name for spec in self._manifest.inputs]
        there = tuple(Rule(variable=f"$.inputs[{place}]", is_present=True) for place in range(len(names)))
        rules = []
        for place, name in enumerate(names):
            variable = f"$.given.i{place}.name"
            rules += [Rule(variable=variable, is_present=True), Rule(variable=variable, string_equals=name)]
        given: dict[str, object] = {f"i{place}.$": f"$.inputs[{place}]" for place in range(len(names))}
        given |= {key: view.entry() for view, key in self._views.items()}
        wrong = "wrong inputs"
        return {
            "inputs": Choice((Rule(next="given", and_=there),), wrong),
            "given": Pass({"given": given}, next="names"),
            "names": Choice((Rule(next=then, and_=tuple(rules)),), wrong),
            wrong: Fail(_WRONG_INPUTS, f"inputs must be {', '.join(names)}, in this order"),
        }

    def _sequence(
        self, order: Sequential, where: "_Paths", states: dict[str, State], then: str
    ) -> "tuple[str, _Paths]":
        """Add the states of a sequence.

        Args:
            order: the sequence.
            where: path of each tensor that there is.
            states: to add to.
            then: the state after it.

        Returns:
            Its first state, and the paths of all tensors after it.
        """
        names = [self._name(stage) for stage in order.stages]
        for stage, name, following in zip(order.stages, names, [*names[1:], then], strict=True):
            add = self._parallel if isinstance(stage, Parallel) else self._call
            where = {**where, **add(stage, name, where, states, following)}  # type: ignore[arg-type]  # as chosen
        return names[0], where

    def _name(self, stage: CallPlan | Parallel) -> str:
        if isinstance(stage, CallPlan):
            return f"{self._keys[stage.call.id]} {stage.call.function}"[:_NAME_CHARACTERS]
        self._groups += 1
        return f"parallel {self._groups}"

    def _call(self, plan: CallPlan, name: str, where: "_Paths", states: dict[str, State], then: str) -> "_Paths":
        key, function = self._keys[plan.call.id], plan.call.function
        prefix = f"{_escaped(self._targets.prefix)}{{}}/{key}/"
        store = {
            "bucket": self._targets.bucket,
            "prefix.$": f"States.Format('{prefix}', $$.Execution.Name)",
            "above_bytes": 0 if plan.call.id in self._stored_whole else self._inline_bytes,
        }
        payload = {"graph": plan.graph.id, "inputs.$": self._inputs(plan, where), "store": store}
        states[name] = Task(
            resource=f"arn:{self._targets.partition}:states:::lambda:invoke",
            parameters={"FunctionName": self._targets.functions[function], "Payload": payload},
            result_selector={"answer.$": "$.Payload"},
            result_path=f"$.{key}",
            timeout_seconds=self._targets.timeout_s,
            retry=(_RETRY,),
            catch=(Catch(("States.ALL",), _FAILURE, f"{name} failed"),),
            next=f"{name} answered",
        )
        outputs, said = f"$.{key}.answer.outputs", f"function {_escaped(function)}, call {key}"
        states[f"{name} answered"] = Choice((Rule(next=then, variable=outputs, is_present=True),), f"{name} refused")
        answer = f"States.JsonToString($.{key}.answer)"
        error = f"{_FAILURE}.Error, {_FAILURE}.Cause"
        states[f"{name} refused"] = Fail(_CALL_FAILED, cause_path=f"States.Format('{said}: {{}}', {answer})")
        states[f"{name} failed"] = Fail(_CALL_FAILED, cause_path=f"States.Format('{said}: {{}}: {{}}', {error})")
        return {made: f"{outputs}[{place}]" for place, made in enumerate(plan.made)}

    def _inputs(self, plan: CallPlan, where: "_Paths") -> str:
        """The tensors that a call reads, as its graph sees them."""
        found = []
        for place, made in enumerate(plan.sources):
            view = self._seen_as.get((plan.call.id, place))
            path = where[made]
            found.append(path if view is None else f"States.JsonMerge({path}, $.given.{self._views[view]}, false)")
        return _array(found)

    def _parallel(self, group: Parallel, name: str, where: "_Paths", states: dict[str, State], then: str) -> "_Paths":
        """Branches end in what others read of them alone: each has all of the state in its output otherwise."""
        branches, selected, result = [], {}, f"$.{name.replace(' ', '')}"
        found: _Paths = {}
        for number, order in enumerate(group.branches):
            inside: dict[str, State] = {}
            end = f"{name} branch {number + 1}"
            first, after = self._sequence(order, where, inside, end)
            calls = {plan.call.id for plan in order.calls()}
            passed = [made for made in after if made[1] in calls and self._is_read_beside(made, calls)]
            inside[end] = Pass({f"t{place}.$": after[made] for place, made in enumerate(passed)}, end=True)
            branches.append(Branch(first, inside))
            selected[f"b{number}.$"] = f"$[{number}]"
            found |= {made: f"{result}.b{number}.t{place}" for place, made in enumerate(passed)}
        catch = Catch(("States.ALL",), _FAILURE, f"{name} failed")
        states[name] = ParallelState(tuple(branches), selected, result, (catch,), then)
        states[f"{name} failed"] = Fail(_CALL_FAILED, cause_path=f"{_FAILURE}.Cause")
        return found

    def _is_read_beside(self, made: Made, calls: set[str]) -> bool:
        """Whether something else than these calls reads a tensor."""
        return made in self._kept or not self._readers.get(made, set()) <= calls


_Paths = dict[Made, str]
"""Tensor -> its path in the state."""


def _readers(plans: Sequence[CallPlan]) -> Mapping[Made, set[str]]:
    """Tensor -> the calls that read it."""
    found: dict[Made, set[str]] = {}
    for plan in plans:
        for made in plan.sources:
            found.setdefault(made, set()).add(plan.call.id)
    return found


def _escaped(text: str) -> str:
    """As it is written in a text of an intrinsic function."""
    return re.sub(r"[\\'{}]", r"\\\g<0>", text)


def _array(paths: Iterable[str]) -> str:
    return f"States.Array({', '.join(paths)})"

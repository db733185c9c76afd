"""Plans of the zoo's models from stored profiles: one record for each model, price book and objective."""

import functools
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mopar.pipeline.profile import predict_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.planning import OBJECTIVES, plan_text
from mopar.platforms.books import book_names, limit_names
from mopar.profiling.document import profile_from_json, profile_json
from mopar.types import InfeasibleError, Predicted, Profile
from mopar.zoo import zoo_models
from tests.models import materialise

FOLDER = Path(__file__).parent
PLANS = FOLDER / "plans.txt"
MODELS = tuple(model.name for model in zoo_models() if model.in_mean)
_QUICK = {"vgg16", "lstm-lm", "bilstm", "gcn"}
"""Models of so few layers that everything is planned in a second or two; the others' fronts take up to a minute."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned."""

    model: str
    book: str
    objective: str

    @property
    def is_quick(self) -> bool:
        """Whether ``make test`` checks it; ``make slow`` checks all."""
        return self.model in _QUICK or (self.book, self.objective) == ("paper", "cost")

    @property
    def platform(self) -> str:
        """The platform with these prices, or one of the same provider; ``local`` where there is none."""
        named = (name for name in limit_names() if self.book.startswith(name))
        return next(named, "local")

    def __str__(self) -> str:
        return f"{self.model} {self.book} {self.objective}"


def questions() -> tuple[Question, ...]:
    """All of them, in the order of the file."""
    return tuple(
        Question(model, book, objective) for model in MODELS for book in book_names() for objective in OBJECTIVES
    )


def answer(question: Question) -> str:
    """The record of a question: the plan's predicted figures and the plan, or why there is none."""
    options = PlanOptions(platform=question.platform, prices=question.book, objective=question.objective)
    try:
        made = make_plan(kept_profile(question.model), options)
    except InfeasibleError as error:
        return f"infeasible: {error}"
    return f"{made.verdict}: {_figures(made.predicted)}\n  {plan_text(made)}"


def _figures(predicted: Predicted) -> str:
    """Rounded to four digits, so that the order of a sum does not matter."""
    return (
        f"{predicted.latency_ms:.4g} ms, {predicted.gb_s_per_request:.4g} GB-s, "
        f"{predicted.cost_per_million_usd:.4g} USD per million, efficiency {predicted.efficiency:.4g}"
    )


@functools.cache
def kept_profile(model: str) -> Profile:
    """A model's stored profile."""
    path = profile_path(model)
    return profile_from_json(lzma.decompress(path.read_bytes()), what=str(path))


def profile_path(model: str) -> Path:
    """Path of a model's stored profile."""
    return FOLDER / "profiles" / f"{model}.json.xz"


def write_profile(model: str) -> None:
    """Predict a model's profile for this machine and store it."""
    _, profile = predict_model(materialise(model))
    profile_path(model).write_bytes(lzma.compress(profile_json(profile), preset=9))


def kept_answers() -> dict[str, str]:
    """Question -> record, as stored."""
    return dict(_records(PLANS.read_text()))


def _records(text: str) -> Iterator[tuple[str, str]]:
    for record in text.strip().split("\n\n"):
        question, _, said = record.partition("\n")
        yield question, said


def answers_text(answers: dict[str, str]) -> str:
    """Format a file of these records."""
    return "\n\n".join(f"{question}\n{said}" for question, said in answers.items()) + "\n"

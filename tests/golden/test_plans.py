"""Plans of the zoo's models are unchanged; ``make golden`` where a change is intended."""

import pytest

from mopar.profiling.document import profile_from_json, profile_json
from tests.golden.plans import MODELS, Question, answer, kept_answers, kept_profile, questions

QUICK = [question for question in questions() if question.is_quick]
OTHERS = [question for question in questions() if not question.is_quick]


def test_every_question_has_its_record() -> None:
    """Twelve models under all price books: a new book needs records too."""
    assert len(MODELS) == 12
    assert list(kept_answers()) == [str(question) for question in questions()]


@pytest.mark.parametrize("question", QUICK, ids=str)
def test_plans_are_as_before(question: Question) -> None:
    assert answer(question) == kept_answers()[str(question)]


@pytest.mark.slow
@pytest.mark.parametrize("question", OTHERS, ids=str)
def test_plans_that_take_long_are_as_before(question: Question) -> None:
    assert answer(question) == kept_answers()[str(question)]


def test_profiles_are_read_without_loss() -> None:
    profile = kept_profile("inception-v3")
    assert profile.shards
    assert profile_from_json(profile_json(profile), what="again") == profile

"""Every error has an explicit exit code."""

import pytest

from mopar.cli.errors import EXIT_CODES, error_document, exit_code
from mopar.types import InfeasibleError, MoparError
from mopar.types import errors as every_error


def test_the_table_is_complete() -> None:
    kinds = {
        kind
        for kind in vars(every_error).values()
        if isinstance(kind, type) and issubclass(kind, MoparError) and kind is not MoparError
    }
    assert kinds == set(EXIT_CODES)


@pytest.mark.parametrize("kind", [kind for kind in EXIT_CODES if kind is not InfeasibleError])
def test_an_error_is_a_document_with_its_kind(kind: type[MoparError]) -> None:
    document = error_document(kind("what is wrong"))
    assert document == {"error": {"kind": kind.__name__.removesuffix("Error").lower(), "message": "what is wrong"}}


def test_infeasible_names_the_limit_and_what_would_do() -> None:
    error = InfeasibleError("too slow", limit="slo_ms", value=1.0, nearest=2.5)
    assert exit_code(error) == 3
    assert error_document(error) == {
        "error": {"kind": "infeasible", "message": "too slow", "limit": "slo_ms", "value": 1.0, "nearest": 2.5}
    }

"""Output of the command line is unchanged; ``make golden`` where a change is intended."""

import pytest
from typer.main import get_command

from mopar.cli.app import app
from tests.golden.outputs import VERBS, output_path, outputs


@pytest.mark.parametrize("name", outputs())
def test_output_is_as_before(name: str) -> None:
    assert outputs()[name]() == output_path(name).read_text()


def test_every_verb_has_its_help_page_here() -> None:
    assert tuple(getattr(get_command(app), "commands")) == VERBS  # noqa: B009 - typer's type does not tell of it

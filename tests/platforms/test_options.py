"""A platform's options from the words of a command line: typed, and each mistake named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from mopar.platforms.options import options_help, parse_options
from mopar.platforms.registry import platform_named, platform_names
from mopar.types import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    base_image: Annotated[str | None, Meta(description="an image")] = None
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    ready_s: float = 60.0
    expose: bool = False
    label: tuple[str, ...] = ()
    token_file: Path | None = None


def test_each_kind_of_option() -> None:
    words = [
        "--base-image=a:b",
        "--port",
        "80",
        "--ready-s",
        "1.5",
        "--expose",
        "--label",
        "x",
        "--label",
        "y=z",
        "--token-file",
        "t",
    ]
    assert parse_options(Options, words, "test") == Options("a:b", 80, 1.5, True, ("x", "y=z"), Path("t"))
    assert parse_options(Options, ["--no-expose"], "test") == Options()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--prot", "80"], "--prot: no such option; those of the platform test: --base-image, --port"),
        (["port"], "port: not an option"),
        (["--port"], "--port lacks its value"),
        (["--port", "--expose"], "--port lacks its value"),
        (["--port", "x"], "--port x: Expected `int`"),
        (["--port", "65536"], "--port 65536: Expected `int` <= 65535"),
        (["--port", "1", "--port", "2"], "--port is given twice"),
        (["--expose=yes"], "--expose takes no value"),
        (["--no-port"], "--no-port: no such option"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(Options, words, "test")
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("name", platform_names())
def test_every_option_of_every_platform_is_described(name: str) -> None:
    assert all(option.text for option in options_help(platform_named(name).options))


def test_an_unknown_platform_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match=r"platform 'nowhere': choose from .*local"):
        platform_named("nowhere")

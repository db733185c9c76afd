"""Damaged files are refused in one line, or are another valid model: never a crash."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import Message  # type: ignore[import-untyped]

from mopar.graph import boundary, check_loadable, cut_positions, extract, layers_of, load_model
from mopar.types import ModelError
from tests.models import materialise

NAMES = ("mlp", "skip", "if_capture", "loop_capture", "lstm", "sequence", "external", "constant_weights")
ROUNDS = 25
VALUES = {int: (0, -1, 7, 2**31 - 1), str: ("", "x"), bytes: (b"", b"\xff\xfe"), float: (0.0, float("nan"))}

Damage = Callable[[bytes, random.Random], bytes]


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Replace up to three bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut_short(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def edited(data: bytes, rng: random.Random) -> bytes:
    """Remove, duplicate or change a field somewhere in the file."""
    model = onnx.load_model_from_string(data)
    owner, name = rng.choice(list(_fields(model)))
    value = getattr(owner, name)
    if isinstance(value, int | str | bytes | float):
        setattr(owner, name, rng.choice(VALUES[type(value)]))
    elif isinstance(value, Message):
        owner.ClearField(name)
    elif rng.random() < 0.5:
        del value[rng.randrange(len(value))]
    else:
        value.append(value[rng.randrange(len(value))])
    changed: bytes = model.SerializeToString()
    return changed


def _fields(message: Message) -> Iterator[tuple[Message, str]]:
    """Every field that is set, at any depth."""
    for field, value in message.ListFields():
        yield message, field.name
        for inner in value if hasattr(value, "__iter__") else [value]:
            if isinstance(inner, Message):
                yield from _fields(inner)


def refusal(path: Path) -> str | None:
    """Why a file is refused; None where all of its model's properties can be computed."""
    try:
        model = load_model(path)
        check_loadable(model)
        layers = layers_of(model)
        for cut in cut_positions(model, layers)[:2]:
            boundary(model, layers, 0, cut.index)
            extract(model, 0, cut.index, layers)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("damage", [flipped, cut_short, edited], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:Ignoring unknown external data")
def test_damaged_files_are_refused_in_one_line(name: str, damage: Damage, tmp_path: Path) -> None:
    source = materialise(name)
    for side in source.parent.iterdir():
        (tmp_path / side.name).write_bytes(side.read_bytes())
    rng = random.Random(f"{name} {damage.__name__}")
    path = tmp_path / source.name
    refusals = []
    for _ in range(ROUNDS):
        path.write_bytes(damage(source.read_bytes(), rng))
        refusals.append(refusal(path))
    assert any(refusals)
    assert all(text is None or text.count("\n") == 0 for text in refusals)

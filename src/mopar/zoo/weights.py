"""Prepares random weights so that every layer affects the outputs, as in a trained model.

With initial weights a Vision Transformer's output is 0, a ConvNeXt scales the results of its blocks by 1e-6, and an
Inception's activations grow to 1e12. A slice that lacks a layer would then compare equal. After preparation no layer is
without effect, and activations neither explode nor vanish (to denormal numbers, which some CPUs compute slowly).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_IDLE = 1e-4
"""A parameter whose values are all below this has no measurable effect."""
_BIAS = 0.1
"""Standard deviation of redrawn biases, which the exporter would omit if they were 0; layers' outputs have 1."""

Batch = Mapping[str, Tensor]


def prepare(module: nn.Module, batches: Sequence[Batch]) -> None:
    """Change random weights so that the outputs depend on each layer and on the input.

    Parameters that are nearly 0 (heads, layer scales, class tokens, biases) are drawn again. Then each convolution and
    fully-connected layer, in execution order, is divided by the standard deviation of its output (layer-sequential
    unit variance, Mishkin and Matas 2016, arXiv 1511.06422; in one pass, since the layers are linear). Last, batch
    norms get the mean statistics of the batches.

    Args:
        module: changed in place and left in evaluation mode.
        batches: requests by parameter of ``forward``; the first sets the scales, all set the statistics.
    """
    _draw_idle_parameters(module)
    module.eval()  # no dropout and no skipped blocks
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.train()
        with _each_layer(module, _unit_variance()):
            module(**batches[0])
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the passes
        for batch in batches if norms else ():
            module(**batch)
    module.eval()


def _draw_idle_parameters(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if float(parameter.detach().abs().max()) < _IDLE:
            fan_in = parameter[0].numel()
            nn.init.normal_(parameter, std=_BIAS if "bias" in name else 1 / math.sqrt(fan_in))


Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]


def _unit_variance() -> Hook:
    """A hook that scales each layer the first time it runs, and its output with it."""
    done: set[int] = set()

    def scale(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        spread = float(output.std())
        if id(layer) in done or spread == 0:
            return None
        done.add(id(layer))
        for parameter in layer.parameters(recurse=False):
            parameter.div_(spread)
        return output / spread

    return scale


@contextlib.contextmanager
def _each_layer(module: nn.Module, hook: Hook) -> Iterator[None]:
    """Register ``hook`` on each layer that multiplies by a matrix or kernel."""
    handles = [part.register_forward_hook(hook) for part in module.modules() if _multiplies(part)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _multiplies(part: nn.Module) -> bool:
    weight = getattr(part, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim > 1 and not isinstance(part, nn.Embedding)

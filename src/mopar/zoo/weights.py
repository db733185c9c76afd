"""Random weights made as telling as trained ones.

As they are initialised, a Vision Transformer answers 0, a ConvNeXt adds a millionth of what its blocks compute, and an
Inception's values grow to 10^12. Slices that drop a layer would equal such models. So weights are prepared: no layer is
idle, and activations neither fade (to numbers that some processors compute slowly) nor explode.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_IDLE = 1e-4
"""A parameter whose values are all below this does nothing worth a layer."""
_BIAS = 0.1
"""Of biases that start as 0, which the exporter would leave out; the layers' outputs have 1."""

Batch = Mapping[str, Tensor]


def prepare(module: nn.Module, batches: Sequence[Batch]) -> None:
    """Change random weights so that answers depend on each layer and on the input.

    Parameters that are all but 0 (heads, layer scales, class tokens, biases) are drawn anew. Then each convolution and
    fully-connected layer, in the order in which they run, is divided by the standard deviation of its output
    (layer-sequential unit variance, Mishkin and Matas 2016, arXiv 1511.06422; in one step, as the layers are linear).
    Last, batch norms get the statistics of the batches, averaged.

    Args:
        module: left in evaluation mode.
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
    """Let ``hook`` see the output of each layer that multiplies by a matrix or kernel."""
    handles = [part.register_forward_hook(hook) for part in module.modules() if _multiplies(part)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _multiplies(part: nn.Module) -> bool:
    weight = getattr(part, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim > 1 and not isinstance(part, nn.Embedding)

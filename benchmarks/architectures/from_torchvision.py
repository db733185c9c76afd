"""Modules of torchvision."""

from typing import Any

from torch import nn


def classifier(name: str, **options: Any) -> nn.Module:
    """Build a classifier of ``torchvision.models``."""
    import torchvision.models

    plain = {"init_weights": False, "aux_logits": False} if name in {"googlenet", "inception_v3"} else {}
    return _module(getattr(torchvision.models, name)(weights=None, **plain, **options))


def segmentation(name: str) -> nn.Module:
    """Build a model of ``torchvision.models.segmentation``; its result is a dict with one map of scores."""
    import torchvision.models.segmentation as models

    return _module(getattr(models, name)(weights=None, weights_backbone=None))


def video(name: str) -> nn.Module:
    """Build a model of ``torchvision.models.video``."""
    import torchvision.models.video as models

    return _module(getattr(models, name)(weights=None))


def pyramid(name: str) -> nn.Module:
    """Build a backbone with a feature pyramid, as in detectors: a dict of maps, each half as wide as the last."""
    from torchvision.models.detection import backbone_utils

    kind = backbone_utils.resnet_fpn_backbone if "resnet" in name else backbone_utils.mobilenet_backbone
    options = {} if "resnet" in name else {"fpn": True}
    # Ordinary batch norms in place of frozen ones, whose statistics the preparation could not set.
    return _module(kind(backbone_name=name, weights=None, norm_layer=nn.BatchNorm2d, **options))


def flow(name: str) -> nn.Module:
    """Build a model of ``torchvision.models.optical_flow``: the displacement of each pixel between two images."""
    import torchvision.models.optical_flow as models

    return _Flow(_module(getattr(models, name)(weights=None)))


class _Flow(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, first: Any, second: Any) -> Any:
        return self.model(first, second, num_flow_updates=2)[-1]


def _module(made: Any) -> nn.Module:
    """Type the result of torchvision, which ships no type annotations."""
    assert isinstance(made, nn.Module)
    return made

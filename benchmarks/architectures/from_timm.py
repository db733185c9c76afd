"""Modules of timm."""

from typing import Any

from torch import nn


def model(name: str, **options: Any) -> nn.Module:
    """Build any of ``timm.list_models()``, without its trained weights."""
    import timm

    made: nn.Module = timm.create_model(name, pretrained=False, exportable=True, **options)
    return made

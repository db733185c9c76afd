"""Small random models from a seed: blocks as exporters write them, in varying combinations."""

from tests.models.drawn.models import FAMILIES, Drawn, draw
from tests.models.drawn.outcome import Outcome, check

__all__ = ["FAMILIES", "Drawn", "Outcome", "check", "draw"]

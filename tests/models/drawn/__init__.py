"""Small models drawn at random from a seed: blocks as exporters write them, in ever other combinations."""

from tests.models.drawn.models import FAMILIES, Drawn, draw
from tests.models.drawn.outcome import Outcome, check

__all__ = ["FAMILIES", "Drawn", "Outcome", "check", "draw"]

"""Small models drawn at random from a seed: every block that exporters write, in ever other combinations."""

from tests.models.drawn.models import FAMILIES, Drawn, draw

__all__ = ["FAMILIES", "Drawn", "draw"]

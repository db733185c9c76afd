"""Fixtures for the local platform."""

from tests.platforms.local.leftovers import nothing_left

__all__ = ["nothing_left"]

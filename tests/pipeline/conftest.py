"""Fixtures for serving bundles on this machine."""

from tests.platforms.local.leftovers import nothing_left

__all__ = ["nothing_left"]

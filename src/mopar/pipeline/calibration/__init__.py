"""Calibration: models measured on this machine, and the resource model that is fitted to them."""

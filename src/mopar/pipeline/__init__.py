"""The stages one after the other, with their measurements: verify, bench, refine, up, calibrate."""

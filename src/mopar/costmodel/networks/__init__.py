"""Networks that calibration measures, written at run time without torch."""

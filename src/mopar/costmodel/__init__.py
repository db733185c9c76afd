"""Profiles without running the model, and what fits the model that predicts them."""

"""Measuring functions under real limits: required memory, and what calls cost on this machine."""

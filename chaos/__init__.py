"""Faults on purpose: mutated images and killed processes, against the real commands."""

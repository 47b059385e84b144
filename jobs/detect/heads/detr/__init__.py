"""Heads of the DETR family."""

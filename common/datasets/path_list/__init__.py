"""Reads lists of paths and URLs."""

"""Pinned versions in, what is publicly known against them out."""

"""Mutated image files through a worker's image reading: every one a row, the worker alive, its memory bounded."""

"""Decides which messages come in: everything else is refused and counted."""

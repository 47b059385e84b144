"""Checks that a run's files agree: every item exactly once."""

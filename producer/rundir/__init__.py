"""The run directory: the truth about a run, on the coordinator's disk."""

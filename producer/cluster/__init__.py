"""Connects to a cluster, or runs one on this machine."""

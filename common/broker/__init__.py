"""Connects to the broker, and explains every way in which that can fail."""

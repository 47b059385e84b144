"""Starts, resumes, pauses and ends runs."""

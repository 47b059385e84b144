"""Builds the Parquet tables of a run."""

"""Owns a run: sends its shards, collects their results, and repairs what goes wrong."""

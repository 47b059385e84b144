"""A dataset in, a run directory out: lists, shards, dispatches, reconciles, aggregates."""

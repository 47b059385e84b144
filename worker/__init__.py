"""A shard in, records out: the process that looks at images."""

"""Pool processes: the shards they work on, and the watch that is kept over them."""

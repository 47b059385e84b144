"""What producers and workers say to each other through Redis: messages, results, heartbeats, the ledger of shards."""

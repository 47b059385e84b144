"""What both sides of the queue agree on: words, messages, the ledger, datasets."""

__version__ = "0.1.0"

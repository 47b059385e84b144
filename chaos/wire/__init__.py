"""Hostile messages into a real worker's queue and ears: it lives, opens nothing of ours, and a real run goes on."""

"""Faults on purpose, and proof that nothing was lost: killed processes, lost messages, damaged images."""

"""Random faults into a real run, and proof that nothing was lost."""

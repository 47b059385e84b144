"""What is done to an item: one package for each kind of job."""

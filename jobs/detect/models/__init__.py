"""Model names and files: which there are, what a user typed, and how their bytes are read. Loads no engine."""

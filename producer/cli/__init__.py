"""What is typed and what is shown: the producer command."""

"""The data set of `make demo`: images with a known truth, and a run scored against it."""

"""Makes tables, exports and timings of a finished run, and publishes them."""

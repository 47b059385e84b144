"""Gets images to workers that cannot read them themselves."""

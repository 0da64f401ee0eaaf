"""Image models that draw."""

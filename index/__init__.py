"""A library of passages that can be searched."""

"""Many pictures from a grid of settings, drawn one by one and compared."""

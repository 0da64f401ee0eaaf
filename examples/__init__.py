"""Small real programs, a sample handbook and question sets."""

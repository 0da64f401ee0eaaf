"""Question sets on disk: one reader per format, all to the same values."""

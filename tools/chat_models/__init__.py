"""Chat models that reason over passages and pictures."""

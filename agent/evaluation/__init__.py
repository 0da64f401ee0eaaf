"""Question sets asked of an agent, measured, compared, reported."""

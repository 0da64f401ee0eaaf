"""Models that work for the agent."""

"""Answers judged by a chat model: verdicts in a fixed form, votes between runs, and rankings."""

"""Patterns: lines whose messages say the same with other values, told apart while they are stored."""

"""Measures whether the right tool of 500 reaches the prompt."""

"""A pipeline as its runs remember it, and the way back to its code."""

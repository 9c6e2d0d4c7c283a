"""Runs in other places and other lives: forks, comparisons, exports, imports."""

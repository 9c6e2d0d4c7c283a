"""Outputs that are used again: what work is the same, where its output is kept, who works it out."""

"""Measures agents, beside the older package of the same name, on one local endpoint that behaves well.

Only the standard library is imported at the top of what the older package's interpreter runs too.
"""

"""Measures what tagent costs, beside other engines that do the same work."""

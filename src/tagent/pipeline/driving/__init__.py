"""Driving a run: the loop, its limits, and whoever takes a run up, stops it or takes it over."""

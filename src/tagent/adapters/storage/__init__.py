"""Stores, chosen by URL."""

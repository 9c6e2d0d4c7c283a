"""The store in a directory: one log of checksummed JSON lines. It needs nothing but the standard library."""

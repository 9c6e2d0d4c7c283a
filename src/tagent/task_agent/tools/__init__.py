"""Tools: what they are, how they are described and checked, where they come from, and how one is run."""

"""A run once more, from what it has recorded: nothing is asked, called or written."""

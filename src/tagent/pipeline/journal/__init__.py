"""A run in its store: records, large outputs beside them, patience, history, clean-up."""

"""The course of a run, without doing anything: its state, its queues and times, and readings of them."""

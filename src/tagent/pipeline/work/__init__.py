"""What an attempt does: functions, agents, events, merges, conditions, and what they see of the run."""

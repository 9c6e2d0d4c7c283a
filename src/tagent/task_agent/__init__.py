"""One goal, one agent: plan, act, evaluate, finalize."""

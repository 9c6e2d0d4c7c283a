"""Measures rounds, pipelines inside steps, approvals, the cache, changes at run time and parts of a run."""

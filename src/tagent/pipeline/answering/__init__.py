"""Answering approvals from outside a run: whose word is awaited, saying it, and who goes on with the run then."""

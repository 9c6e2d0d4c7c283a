"""The same work as other engines do it, one file each; every file runs in an environment of its own."""

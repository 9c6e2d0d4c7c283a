"""What `benchmarks.flow` measures, as the floor and other engines do it."""

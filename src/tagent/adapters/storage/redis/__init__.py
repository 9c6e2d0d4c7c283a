"""The store on a Redis server: a hash and a Stream for each run, one Lua script for each atomic write."""

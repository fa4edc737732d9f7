"""The cache on Redis 7 or newer, or Valkey: one server, or whatever stands at its address after a fail-over."""

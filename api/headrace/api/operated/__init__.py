"""Being operated: metrics, traces, and what a process says of itself."""

"""The hand-over protocol as an explicit-state model: every order of events of a small world, checked one by one."""

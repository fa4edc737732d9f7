"""Writing Python source: layout, names and imports, values, calls of tasks, and the sections they stand in."""

"""The pure core: workflow values, planning and deciding. Standard library and networkx only; no I/O, clock or randomness."""

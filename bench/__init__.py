"""Measures. Each prints JSON lines; a figure counts only beside its bare counterpart of the same run."""

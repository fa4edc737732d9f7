"""Runs that begin by time: what a stored trigger says, the run of a moment, and the ticker that every engine has."""

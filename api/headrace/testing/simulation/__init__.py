"""The deterministic simulator: engines, workers, broker and store as they are, on virtual time, with faults from a seed."""

from headrace.testing.simulation.script import Script, script
from headrace.testing.simulation.world import Verdict, simulate

__all__ = ["Script", "Verdict", "script", "simulate"]

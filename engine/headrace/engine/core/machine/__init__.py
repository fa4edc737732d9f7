"""The deciding machine. `RunMachine` is all that the shell needs; the modules are one concern each:

block (where the states lie) · board (tallies, the one move) · readiness (may it go on?) ·
line (what may be dispatched) · maps · branching (switch, gate) · needs, scopes, judging (expressions) · attempts (dispatch,
reports, retries) · control (people and clocks) · ending (outcome, handlers) · restoring (from rows) · reruns, moving (on another version).
"""

from headrace.engine.core.machine.machine import SLICE, RunMachine

__all__ = ["SLICE", "RunMachine"]

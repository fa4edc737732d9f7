"""Real servers on this machine without Docker or root: Kafka, PostgreSQL and Valkey from Python and Maven packages.

`headrace lab` is the command, the tests use `Lab` itself. The servers listen on loopback only, outlive the process
that started them, and keep their data in one folder.
"""

from headrace.lab.errors import LabError
from headrace.lab.lab import NAMES, Lab, ServerStatus

__all__ = ["NAMES", "Lab", "LabError", "ServerStatus"]

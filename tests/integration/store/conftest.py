"""Stores on servers of their own, which a test may treat badly."""

from tests.support.postgres import postgres
from tests.support.servers import breakable_lab

__all__ = ["breakable_lab", "postgres"]

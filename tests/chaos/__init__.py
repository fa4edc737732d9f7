"""Chaos: a cluster of real processes on real servers, whose members and servers are killed, stopped, cut off and slowed down
under load, and a check of everything that is written afterwards.

    python -m tests.chaos --minutes 30 --seed 1     worlds from that seed on, until the time is up
"""

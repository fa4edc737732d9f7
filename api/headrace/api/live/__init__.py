"""What happens, as it happens: runs, projects and log lines, told as server-sent events.

Whoever follows the same thing in this process shares one reading of it (`sharing`), kept for a while on a tape (`tape`).
Nobody has a queue of their own: a client is a place on the tape, and what has left the tape is read from the store.
"""

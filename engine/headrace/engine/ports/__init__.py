"""What the engine's shell needs from outside: protocols and the messages on the wire. Adapters live in store/, broker/, cache/."""

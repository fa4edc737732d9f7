"""The topics beside the hot path, by FastStream: requests, logs, dead letters. Importing this imports none of it."""

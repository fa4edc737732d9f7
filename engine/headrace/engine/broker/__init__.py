"""Brokers: in process, and Kafka."""

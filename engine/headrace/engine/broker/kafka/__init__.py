"""The broker over Apache Kafka, with aiokafka alone: explicit partitions and offsets, no consumer groups.

Importing this package imports neither aiokafka nor anything else: take what is needed from its modules.
"""

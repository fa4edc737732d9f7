"""Does anything grow? A cluster under a steady load for an hour or a night: python -m bench.soak --minutes 60

Two engines and two workers on real servers are asked for runs of several kinds at a steady rate. Every so often it is written down what
they take (memory, CPU, open files), what the tables hold (rows, dead rows, bytes), how many runs go on, and how long a run
waits for its first task and a task for the one before it: one JSON object a line. In the end no series may have grown, every run has
ended as it should, and a picture is drawn. Exit status 1 when something grew. Servers: see bench/cluster.py.
"""

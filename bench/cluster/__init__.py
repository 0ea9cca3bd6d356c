"""Real servers for a run: Apache Kafka in KRaft mode and PostgreSQL, on free ports and in fresh folders.

`bench.cluster.servers.cluster` starts (or reaches) both and proves by a produce, a consume and two commits that they
serve. Nothing that it starts outlives it: each server has the parent-death signal, so even SIGKILL leaves no process.
"""

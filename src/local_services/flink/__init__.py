"""A small Apache Flink cluster with Beam's runner, for this user alone: one process a part.

The JobManager, TaskManagers of one slot each, Beam's job server, which takes jobs, and a pool of
Python workers, which run their steps. `cluster` has the parts, `settings` what they are told,
`keys` how they know each other.
"""

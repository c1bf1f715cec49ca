"""This machine: the state directory, its secret, and the processes that are on record there."""

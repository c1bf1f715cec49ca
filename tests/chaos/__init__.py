"""Crash equality: kill anything at any moment, start again, and the final tables are the same.

``make chaos`` runs the long form; ``tests/integration/test_chaos.py`` a short one on the same
engine. A campaign publishes one fixed log (with duplicates, late events and malformed records),
streams it undisturbed, then streams it again and again into sinks of their own while processes
are killed and faults are injected, and compares what is left, row by row.
"""

"""The archive of the log: where it is, how its files are called, and their compaction."""

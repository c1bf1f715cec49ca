"""Predicts how popular each track will be in each country, live, with one graph for all uses."""

import os

# Polars' allocator is set when it is loaded. By itself it gives free pages back to the system
# within seconds, and each batch has them cleared for it again: a tenth of a job's CPU time.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:60000,muzzy_decay_ms:60000")

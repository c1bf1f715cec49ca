"""Where the graph writes: archive, BigQuery, MongoDB, dead letters, positions."""

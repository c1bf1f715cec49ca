"""BigQuery: its clients, the dataset and its tables."""

from .clients import client, ping, query, query_pandas, read_client, write_client

__all__ = ["client", "ping", "query", "query_pandas", "read_client", "write_client"]

"""BigQuery: its clients, the dataset and its tables."""

from .clients import client, ping, query, query_pandas, read_client, write_client
from .scores import score_sql

__all__ = [
    "client",
    "ping",
    "query",
    "query_pandas",
    "read_client",
    "score_sql",
    "write_client",
]

"""MongoDB, the operational store: its client, and what the endpoint looks up in it."""

from .clients import client, database, ping

__all__ = ["client", "database", "ping"]

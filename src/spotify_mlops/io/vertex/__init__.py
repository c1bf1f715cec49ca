"""Vertex AI: its clients."""

from .client import client, parent, ping, sdk

__all__ = ["client", "parent", "ping", "sdk"]

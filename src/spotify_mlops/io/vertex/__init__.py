"""Vertex AI: its clients."""

from .clients import client, parent, ping, sdk

__all__ = ["client", "parent", "ping", "sdk"]

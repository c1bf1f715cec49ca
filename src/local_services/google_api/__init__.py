"""What the stand-ins of Google's APIs share: errors, messages, routes, state, the server."""

from __future__ import annotations

HEALTH = "/healthz"
"""The path that says to everybody that a server is there."""

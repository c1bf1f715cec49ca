"""Spotify's Web API as a source: what it shows in each market, poll after poll."""

from .ingest import ingest_webapi

__all__ = ["ingest_webapi"]

"""What one watches: panels that are defined once, for the local live page and for Grafana."""

DEFAULT_PORT = 8050
"""The live page's, when it is free."""

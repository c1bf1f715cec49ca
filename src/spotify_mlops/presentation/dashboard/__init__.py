"""What one watches: panels that are defined once, for the local live page and for Grafana."""

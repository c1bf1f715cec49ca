"""The jobs that run the graph, and the audit of what they did."""

"""The graph from the log to features and predictions, and its pure steps."""

"""What the project is about, as pure functions on columns: events, features, labels, windows."""

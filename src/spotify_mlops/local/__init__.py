"""The local profile: real or wire-compatible servers on loopback, from packages alone."""

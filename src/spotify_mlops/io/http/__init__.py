"""What the HTTP servers of this project share: who may ask, and how much at once."""

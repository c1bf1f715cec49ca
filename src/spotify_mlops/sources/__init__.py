"""Where events come from: the simulator, weekly charts, listening histories."""

"""Publish at a rate, in a process of its own: ``python publish.py PARAMS RATE SECONDS``."""

from __future__ import annotations

import sys

from spotify_mlops import sources
from spotify_mlops.config import params as parameters

if __name__ == "__main__":
    sources.paced(parameters.load(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))

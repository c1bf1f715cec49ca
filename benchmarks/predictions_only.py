"""The live job without its raw sinks: ``python predictions_only.py PARAMS``, for ``freshness``."""

from __future__ import annotations

import sys

from spotify_mlops.config import params as parameters
from spotify_mlops.operations import stream
from spotify_mlops.pipeline import graph
from spotify_mlops.pipeline.sinks.windows import LiveWindows

if __name__ == "__main__":
    params = parameters.load(sys.argv[1])
    stream.run(params, sinks=graph.Sinks([], LiveWindows(params)))

"""A server that answers a constant, on the same stack: what no model could be faster than.

python constant_endpoint.py PORT
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from spotify_mlops.serving.server import server_config

_BODY = (
    b'{"predictions":[{"level":"Alta","score":0.912345,"probabilities":{"Alta":0.912345,'
    b'"Media":0.054321,"Baja":0.033334},"model":"constant@1"}]}'
)
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_BODY)),
    ],
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer."""
    while (await receive()).get("more_body", False):
        pass
    await send(_START)
    await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    config = server_config(app)
    config.port = int(sys.argv[1])
    uvicorn.Server(config).run()

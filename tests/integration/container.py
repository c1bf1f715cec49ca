"""A model's container in miniature: what a command of the tests' deployed models runs.

``python container.py NAME``: answers each instance with the name it was given. An instance may
ask for more: ``{"status": N}`` is answered with that status, ``{"wait": FILE}`` once the file is
there, ``{"die": true}`` never.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Vertex AI's contract: a health route and a predict route."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        self._send(200 if self.path == os.environ["AIP_HEALTH_ROUTE"] else 404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != os.environ["AIP_PREDICT_ROUTE"]:
            self._send(404, {"error": {"message": f"no route {self.path}"}})
            return
        if self.headers["Authorization"] != f"Bearer {os.environ['SPOTIFY_MLOPS_KEY']}":
            self._send(401, {"error": {"message": "who asks?"}})
            return
        if self.headers["Content-Type"] == "text/plain":
            self._send(200, {"echo": body.decode()})
            return
        content = json.loads(body)
        for instance in content["instances"]:
            if instance.get("die"):
                os._exit(3)
            if "wait" in instance:
                while not Path(instance["wait"]).exists():
                    time.sleep(0.01)
            if "status" in instance:
                self._send(instance["status"], {"error": {"message": "instance 0, field status"}})
                return
        names = [{"name": sys.argv[1], "env": os.environ.get("GIVEN")}] * len(content["instances"])
        self._send(200, {"predictions": names, "metadata": content.get("parameters", {})})

    def _send(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    variables = {name: value for name, value in os.environ.items() if name.startswith("AIP_")}
    sys.stdout.write(json.dumps(variables) + "\n")
    sys.stdout.flush()
    if len(sys.argv) > 2:
        sys.exit(f"cannot start: {sys.argv[2]}")
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()

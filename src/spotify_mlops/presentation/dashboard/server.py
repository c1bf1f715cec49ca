"""Serve the live page on this machine."""

from __future__ import annotations

import logging
import signal
import threading

from ...config.errors import ServiceError
from ...config.params import Params
from ...config.progress import Progress
from ...io.http import ports


def serve(params: Params, port: int, say: Progress) -> None:
    """Serve until TERM or an interruption; say where.

    Raises:
        ServiceError: the port is taken.
    """
    from ...io.http.listening import Server
    from .page import application, guarded
    from .watch import Watch

    logging.getLogger("waitress").setLevel(logging.ERROR)
    watch = Watch(params).start()
    try:
        try:
            server = Server(guarded(application(params, watch)), ports.HOST, port)
        except OSError as error:
            raise ServiceError(
                f"El puerto {port} no se puede usar (¿está ocupado?): elige otro con --port."
            ) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        say(f"http://{ports.HOST}:{port}/  (Ctrl+C para cerrar)")
        server.run()  # returns on an interruption
    finally:
        watch.close()

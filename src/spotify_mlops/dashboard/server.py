"""Serve the live page on this machine."""

from __future__ import annotations

import logging
import signal
import threading

from ..errors import ServiceError
from ..local import ports
from ..params import Params

THREADS = 8


def serve(params: Params, port: int) -> None:
    """Serve until TERM or an interruption.

    Raises:
        ServiceError: the port is taken.
    """
    import waitress

    from .page import application
    from .watch import Watch

    logging.getLogger("waitress").setLevel(logging.ERROR)
    watch = Watch(params).start()
    try:
        try:
            server = waitress.create_server(
                application(params, watch).server, host=ports.HOST, port=port, threads=THREADS
            )
        except OSError as error:
            raise ServiceError(
                f"El puerto {port} no se puede usar ({error.strerror}): elige otro con --port."
            ) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        server.run()  # returns on an interruption
    finally:
        watch.close()

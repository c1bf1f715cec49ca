"""All that the local profile fetches or builds once: ``ensure`` makes it ready."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from spotify_mlops.config.progress import Progress, silent

from . import kafka, mongo
from .prism import prism

__all__ = ["ensure", "prism"]


def ensure(progress: Progress = silent) -> None:
    """Fetch the jars, compile what is Java and build Prism, whichever is missing, at once.

    Raises:
        UserError: the cache cannot be written, or something cannot be fetched or built.
    """
    with ThreadPoolExecutor(3) as pool:
        futures: list[Future[object]] = [
            pool.submit(prism, progress),
            pool.submit(kafka.classpath, progress),
            pool.submit(mongo.classpath, progress),
        ]
        for future in futures:
            future.result()

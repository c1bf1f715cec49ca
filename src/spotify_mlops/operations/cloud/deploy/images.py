"""The step of the images: built from the checkout and pushed to the platform's repository."""

from __future__ import annotations

from importlib.metadata import version

from ....config import paths
from ....config.errors import ParamsError, ServiceError
from ....config.progress import Progress
from ..check import CHECKS, built
from ..check.finding import Finding
from . import platform, tools
from .step import Deployment

_OF_WORKERS = "dataflow_image"
_BUILT = {_OF_WORKERS: "pipeline", "serving_image": "serving", "training_image": "training"}
"""What ``infra/build.sh`` calls each."""
_API, _TOOL = "artifactregistry", "docker"


def look(deployment: Deployment) -> Finding:
    """Look which of the images that the params name are not where they say."""
    known = _known(deployment)
    elsewhere = [name for name, state in known.items() if state == "unknown"]
    if elsewhere:
        return Finding("images", "unknown", "elsewhere", {"names": elsewhere})
    missing = [name for name, state in known.items() if state == "bad"]
    if not missing:
        return Finding("images", "good", "there", {"names": list(known)})
    facts = {"names": [_BUILT[name] for name in missing], "tool": _TOOL}
    if not (paths.root() / "infra" / "build.sh").is_file():
        return Finding("images", "bad", "no_recipe", facts)
    if not tools.is_there(_TOOL):
        return Finding("images", "bad", "no_tool", facts)
    return Finding("images", "off", "missing", facts)


def make(deployment: Deployment, say: Progress) -> Finding:
    """Build and push what is missing; the repository is made before, with the platform.

    Raises:
        ParamsError: the workers' image is there now, and the params name another digest.
        ServiceError: a tool failed, or there is no repository.
    """
    missing = [name for name, state in _known(deployment).items() if state == "bad"]
    _ensure_repository(deployment, missing[0], say)
    for name in missing:
        tag = _tag(deployment, name)
        if _digest(deployment, tag) is None:
            say(f"se construye {tag}")
            tools.run(["infra/build.sh", _BUILT[name], tag], paths.root(), say)
            say(f"se sube {tag}")
            tools.run([_TOOL, "push", tag], paths.root(), say)
    if _OF_WORKERS in missing:
        tag = _tag(deployment, _OF_WORKERS)
        digest = _digest(deployment, tag)
        if digest is None:
            raise ServiceError(f"Artifact Registry no tiene {tag}, que se acaba de subir.")
        raise ParamsError(
            "La imagen de los trabajadores está, y los parámetros nombran otra huella. Pon "
            f"dataflow_image: {tag.rpartition(':')[0]}@{digest} y repite la orden."
        )
    return look(deployment)


def _known(deployment: Deployment) -> dict[str, str]:
    """Return how the check of each image of the params finds it.

    None is there while the registry's API, which the platform enables, answers nobody.
    """
    if not _is_on(deployment):
        return dict.fromkeys(_BUILT, "bad")
    found = {name: CHECKS[name](deployment.context) for name in _BUILT}
    return {name: each.state for name, each in found.items() if each is not None}


def _is_on(deployment: Deployment) -> bool:
    found = CHECKS["apis"](deployment.context)
    return found is None or f"{_API}.googleapis.com" not in found.facts.get("lacking", ())


def _ensure_repository(deployment: Deployment, name: str, say: Progress) -> None:
    place = _place(str(deployment.params.value(name)))
    apis = deployment.context.apis
    if _is_on(deployment) and apis.find(_API, place.repository) is not None:
        return
    if "platform" in deployment.without:
        raise ServiceError(
            f"No existe el repositorio {place.repository.removeprefix('v1/')}, que es de la "
            "plataforma: hazlo, o quita «--without platform»."
        )
    say("el repositorio de las imágenes es de la plataforma: se hace antes, sin lo que las usa")
    platform.up(platform.without_images(deployment.params), say)


def _tag(deployment: Deployment, name: str) -> str:
    """Return what an image is pushed as: a digest is known only afterwards."""
    named = str(deployment.params.value(name))
    plain, digest, _ = named.partition("@")
    return f"{plain}:{version('spotify-mlops')}" if digest else named


def _digest(deployment: Deployment, tag: str) -> str | None:
    """Return the digest of a tag; None where there is no such image."""
    return _place(tag).digest(deployment.context.apis)


def _place(image: str) -> built.Place:
    place = built.Place.of(image)
    if place is None:
        raise ParamsError(f"{image} no es de Artifact Registry: no se puede subir.")
    return place

"""Whether what was built is where the profile says, and is what runs here."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote

from ....config import paths
from ....io.google_apis import Apis
from .finding import Check, Context, Finding

DEMO_PROJECT = "spotify-mlops-demo"
"""Of the profile as it comes; nobody's."""
NO_DIGEST = f"sha256:{'0' * 64}"
"""Of the profile as it comes."""
IMAGES = ("dataflow_image", "serving_image", "training_image")
_IMAGE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/"
    r"(?P<name>[^@:]+)(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))?"
)
_BUILT_WITH = re.compile(r"^(python|beam)_tag=\S+?:([0-9.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where Artifact Registry has an image."""

    repository: str
    """Its path in the API."""
    name: str
    version: str
    """A digest, or a tag."""

    @classmethod
    def of(cls, image: str) -> Place | None:
        """Return the place of what a parameter names; None where that is another registry's."""
        match = _IMAGE.fullmatch(image)
        if match is None:
            return None
        repository = (
            f"v1/projects/{match['project']}/locations/{match['location']}"
            f"/repositories/{match['repository']}"
        )
        version = match["digest"] or match["tag"] or "latest"
        return cls(repository, quote(match["name"], safe=""), version)

    def digest(self, apis: Apis) -> str | None:
        """Return the digest of the image; None where there is none."""
        digest = self.version
        if not digest.startswith("sha256:"):
            found = apis.find(
                "artifactregistry", f"{self.repository}/packages/{self.name}/tags/{digest}"
            )
            if found is None:
                return None
            digest = str(found.get("version", "")).rpartition("/")[2]
        stored = f"{self.repository}/dockerImages/{self.name}@{digest}"
        return None if apis.find("artifactregistry", stored) is None else digest


def demo(context: Context) -> Finding | None:
    """Look which parameters still have the values that the profile comes with."""
    if not context.is_in_google:
        return None
    values = context.params.flat()
    names = [
        name
        for name, value in values.items()
        if isinstance(value, str) and (DEMO_PROJECT in value or NO_DIGEST in value)
    ]
    return Finding("demo", "bad" if names else "good", "left" if names else "own", {"names": names})


def versions(context: Context) -> Finding:
    """Look whether Python and Beam here are those of which the workers' image is built."""
    here = {"python": platform.python_version(), "beam": version("apache-beam")}
    script = paths.root() / "infra" / "build.sh"
    if not script.is_file():
        return Finding("versions", "unknown", "no_recipe", here)
    image = dict(_BUILT_WITH.findall(script.read_text(encoding="utf-8")))
    facts = here | {f"image_{name}": found for name, found in image.items()}
    same = _minor(here["python"]) == _minor(image.get("python", "")) and (
        here["beam"] == image.get("beam")
    )
    return Finding("versions", "good" if same else "bad", "same" if same else "other", facts)


def image(parameter: str) -> Check:
    """Return the check of the image that a parameter names."""

    def check(context: Context) -> Finding | None:
        of_workers = parameter == "dataflow_image"
        if not context.is_in_google or (of_workers and context.params.engine.runner != "dataflow"):
            return None
        return _image(context, parameter)

    return check


def _image(context: Context, parameter: str) -> Finding:
    named = str(context.params.value(parameter))
    facts = {"parameter": parameter, "image": named.partition("@")[0]}
    if NO_DIGEST in named:
        return Finding(parameter, "bad", "no_digest", facts)
    place = Place.of(named)
    if place is None:
        return Finding(parameter, "unknown", "other_registry", facts)
    digest = place.digest(context.apis)
    if digest is None:
        return Finding(parameter, "bad", "missing", facts)
    return Finding(parameter, "good", "there", facts | {"digest": digest})


def _minor(number: str) -> list[str]:
    return number.split(".")[:2]

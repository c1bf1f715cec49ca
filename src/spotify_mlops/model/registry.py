"""The registered versions of the model, in Vertex AI; here in its local stand-in.

Vertex AI numbers the versions, keeps their labels and says by the alias ``champion`` which one
serves. What they consist of, and who served which window, is beside the archive
(`PromotionHistory`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from google.api_core import exceptions
from google.cloud import aiplatform_v1

from ..config import carried
from ..config.errors import IntegrityError
from ..config.params import Params
from ..io import vertex
from ..io.local import state
from . import bundle
from .promotions import Canary, PromotionHistory

CHAMPION, CHALLENGER, BASELINE = "champion", "challenger", "baseline"
"""Aliases of versions; each belongs to one version at a time."""
DIGEST = "sha256"
"""Label with the digest of the version's bundle."""


class Registry:
    """The versions of ``params.model_name`` of a profile."""

    def __init__(self, params: Params) -> None:
        """Remember where the registry is; the first question connects."""
        self._params = params
        self._promotions = PromotionHistory(params)

    def register(self, bundle_dir: Path | str, labels: Mapping[str, str] | None = None) -> str:
        """Register a bundle as the next version and return the version.

        A bundle that is registered already keeps its version; its labels are brought up to date.
        Cut off at any moment, doing it again ends in the same state.

        Args:
            bundle_dir: of the model.
            labels: of the version: lower-case letters, digits, ``-`` and ``_``.

        Raises:
            InputError, IntegrityError: it is not a bundle, or not what its hashes say.
            IntegrityError: the registry's numbers are not those of the archive.
            google.api_core.exceptions.GoogleAPICallError: Vertex AI refuses it.
        """
        candidate = bundle.load(Path(bundle_dir))
        with state.locked(f"registry-{self._model_id}"):
            known = {model.version_id: model.labels.get(DIGEST, "") for model in self._models()}
            for version in self._promotions.versions():
                if version not in known:  # kept, and cut off before it was registered
                    digest = self._promotions.bundle(version).digest
                    self._upload(version, digest, {}, first=not known)
                    known[version] = digest_label(digest)
            wanted = digest_label(candidate.digest)
            version = next((v for v, label in known.items() if label == wanted), "")
            if not version:
                version = str(max(map(int, known), default=0) + 1)
                self._promotions.keep(version, candidate.path)
                self._upload(version, candidate.digest, labels or {}, first=not known)
            elif labels:
                self._label(version, {**labels, DIGEST: wanted})
        return version

    def versions(self) -> list[str]:
        """Return the registered versions, oldest first."""
        return [model.version_id for model in self._models()]

    def labels(self, version: str) -> dict[str, str]:
        """Return the labels of a version."""
        return dict(self._client().get_model(name=f"{self._name}@{version}").labels)

    def aliases(self) -> dict[str, str]:
        """Return which version each alias means."""
        return {alias: model.version_id for model in self._models() for alias in
                model.version_aliases}  # fmt: skip

    def promote(self, version: str, effective_from: datetime, canary: Canary | None = None) -> None:
        """Make a version the champion from a window on, and say so in Vertex AI.

        Raises:
            InputError: its bundle is not kept.
        """
        self._promotions.promote(version, effective_from, canary)
        self.align()

    def mark(self, version: str, alias: str) -> None:
        """Let an alias mean a version, and no other; with ``-`` before it, that one no more."""
        self._client().merge_version_aliases(
            name=f"{self._name}@{version}", version_aliases=[alias]
        )

    def align(self) -> None:
        """Make the aliases say what the promotions say; they are what counts."""
        periods = self._promotions.periods()
        if not periods:
            return
        wanted = {CHAMPION: periods[-1].version}
        if periods[-1].canary is not None:
            wanted[CHALLENGER] = periods[-1].canary.version
        found = self.aliases()
        for alias, version in wanted.items():
            if found.get(alias) != version:
                self.mark(version, alias)
        if CHALLENGER in found.keys() - wanted.keys():
            self.mark(found[CHALLENGER], f"-{CHALLENGER}")

    def champion(self) -> str | None:
        """Return the version that serves the latest windows, if one was promoted."""
        return self._promotions.champion()

    @property
    def _model_id(self) -> str:
        return model_id(self._params)

    @property
    def _name(self) -> str:
        return f"{vertex.parent(self._params.cloud)}/models/{self._model_id}"

    def _client(self) -> aiplatform_v1.ModelServiceClient:
        return vertex.client(self._params.cloud, aiplatform_v1.ModelServiceClient)

    def _models(self) -> list[aiplatform_v1.Model]:
        try:
            found = list(self._client().list_model_versions(name=self._name))
        except exceptions.NotFound:
            return []
        return sorted(found, key=lambda model: int(model.version_id))

    def _upload(self, version: str, digest: str, labels: Mapping[str, str], *, first: bool) -> None:
        model = aiplatform_v1.Model(
            display_name=self._model_id,
            description="Nivel de popularidad (Alta, Media, Baja) de cada canción en cada país",
            version_description=f"SHA-256 {digest}",
            artifact_uri=f"{self._promotions.uri}/{version}",
            labels={**labels, DIGEST: digest_label(digest)},
            container_spec={
                "image_uri": self._params.cloud.serving_image,
                "command": ["python", "-m", "spotify_mlops.serving"],
                "args": carried.arguments(self._params),
                "ports": [{"container_port": 8080}],
                "predict_route": "/predict",
                "health_route": "/health",
            },
        )
        parent = vertex.parent(self._params.cloud)
        request = aiplatform_v1.UploadModelRequest(parent=parent, model=model)
        if first:
            request.model_id = self._model_id
        else:
            request.parent_model = self._name
        given = self._client().upload_model(request=request).result().model_version_id
        if given != version:
            raise IntegrityError(
                f"Vertex AI registró {self._model_id} como versión {given}, y en "
                f"{self._promotions.uri} es la {version}: alguien borró o registró versiones por "
                "su cuenta. Usa otro «model_name»."
            )

    def _label(self, version: str, labels: Mapping[str, str]) -> None:
        model = self._client().get_model(name=f"{self._name}@{version}")
        model.labels = dict(labels)
        self._client().update_model(model=model, update_mask={"paths": ["labels"]})


def model_id(params: Params) -> str:
    """Return the id of the params' model, and of its endpoint: profiles never mix."""
    return f"{params.model.name}-{params.profile}"


def digest_label(digest: str) -> str:
    """Return a SHA-256 as a label's value: in base 32, since 64 characters are one too many."""
    return base64.b32encode(bytes.fromhex(digest)).decode().rstrip("=").lower()

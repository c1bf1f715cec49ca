"""What each thing is called, as the params of those who use it say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from spotify_mlops.config import references
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.params import FLAT, Params
from spotify_mlops.model.registry import model_id

Role = Literal[
    "stream", "watcher", "training", "serving", "monitor", "scheduler", "dashboards", "deployer"
]
"""Whose rights there are: workers of Dataflow, who sends their job and watches it, training jobs,
prediction servers, the scheduled commands, who starts those, Grafana, and who deploys."""
ROLES: tuple[Role, ...] = get_args(Role)

_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_BUCKET = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:/.*)?")
_BOOTSTRAP = re.compile(
    r"bootstrap\.(?P<name>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)\.(?P<location>[a-z0-9-]+)"
    r"\.managedkafka\.(?P<project>[a-z0-9-]+)\.cloud\.goog:[0-9]+"
)
_ACCOUNT = re.compile(
    r"(?P<name>[a-z][a-z0-9-]{4,28}[a-z0-9])@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com"
)
_SUBNETWORK = re.compile(
    r"regions/(?P<location>[a-z0-9-]+)/subnetworks/(?P<name>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"
)
_IMAGE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[a-z0-9-]+)/"
    r"(?P<name>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)/.+"
)
_MODEL = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_UNBUILT = "0" * 64
"""The digest of an image that nobody has built yet, as the profile comes."""


@dataclass(frozen=True)
class Names:
    """Names that are parts of what the params say."""

    bucket: str
    cluster: str
    repository: str
    subnetwork: str
    model: str
    """Of the model in Vertex AI, and of its endpoint."""
    accounts: Mapping[Role, str]
    """The part of a service account's address before the ``@``."""
    secrets: Mapping[str, str]
    """By the parameter that refers to it, those of this project."""
    pipeline_image: str | None
    """With its digest; None before it is built."""

    @classmethod
    def of(cls, params: Params) -> Names:
        """Take the params' addresses apart.

        Raises:
            ParamsError: one of them is of no platform that could be made, or they do not agree.
        """
        cloud, dataflow = params.cloud, params.dataflow
        _found(_PROJECT, "project", cloud.project, "el identificador de un proyecto")
        _found(_LABEL, "profile", params.profile, "una etiqueta: hasta 63 letras, cifras, - y _")
        bucket = _found(_BUCKET, "archive", cloud.archive, "gs://BUCKET")["bucket"]
        staging = _found(_BUCKET, "dataflow_staging", dataflow.staging, "gs://BUCKET/CARPETA")
        if staging["bucket"] != bucket:
            raise ParamsError(
                f"«dataflow_staging» es del bucket {staging['bucket']} y «archive» de {bucket}: "
                "los permisos son de uno, así que pon una carpeta del mismo."
            )
        images = {
            name: _here(params, name, _IMAGE, "LUGAR-docker.pkg.dev/PROYECTO/REPOSITORIO/IMAGEN")
            for name in ("serving_image", "training_image", "dataflow_image")
        }
        if len(set(images.values())) > 1:
            raise ParamsError(
                "«serving_image», «training_image» y «dataflow_image» han de ser de un mismo "
                f"repositorio, y son de {', '.join(sorted(set(images.values())))}."
            )
        mongo = params.mongo.uri
        if mongo == references.LOCAL or references.variable(mongo) is not None:
            raise ParamsError(
                "«mongo_uri» ha de ser secret://NOMBRE o una dirección: los trabajadores no tienen "
                "ni los servicios ni el entorno de esta máquina."
            )
        return cls(
            bucket=bucket,
            cluster=_here(
                params,
                "kafka_bootstrap",
                _BOOTSTRAP,
                "bootstrap.CLÚSTER.LUGAR.managedkafka.PROYECTO.cloud.goog:9092",
            ),
            repository=images["dataflow_image"],
            subnetwork=_here(
                params, "dataflow_subnetwork", _SUBNETWORK, "regions/LUGAR/subnetworks/NOMBRE"
            ),
            model=_found(_MODEL, "model_name", model_id(params), "MODELO-PERFIL, sin _ y hasta 63")[
                0
            ],
            accounts=_accounts(params),
            secrets=_secrets(params),
            pipeline_image=None if dataflow.image.endswith(_UNBUILT) else dataflow.image,
        )


def _accounts(params: Params) -> dict[Role, str]:
    """Return the accounts' names: those that the code hands over, as the params say them."""
    said: dict[Role, str] = {
        "stream": "dataflow_service_account",
        "training": "training_service_account",
        "serving": "serving_service_account",
    }
    found: dict[Role, str] = {
        role: _here(params, said[role], _ACCOUNT, "CUENTA@PROYECTO.iam.gserviceaccount.com")
        if role in said
        else role
        for role in ROLES
    }
    if repeated := sorted(
        name for name in set(found.values()) if list(found.values()).count(name) > 1
    ):
        raise ParamsError(
            f"La cuenta de servicio {repeated[0]} tendría los permisos de varios papeles: da a "
            f"{', '.join(f'«{name}»' for name in said.values())} cuentas distintas, y distintas de "
            f"{', '.join(role for role in ROLES if role not in said)}."
        )
    return found


def _secrets(params: Params) -> dict[str, str]:
    found = {}
    for name, value in params.flat().items():
        if references.is_reference(value) and value.startswith(references.SECRET_MANAGER):
            parts = value.removeprefix(references.SECRET_MANAGER).split("/")
            if len(parts) < 3 or parts[0] == params.cloud.project:
                found[name] = parts[-2] if len(parts) == 3 else parts[0]
    return found


def _here(params: Params, name: str, pattern: re.Pattern[str], shape: str) -> str:
    """Return what an address names, which is to be in the params' own project and location."""
    value = str(params.value(name))
    found = _found(pattern, name, value, shape).groupdict()
    for part, wanted in (("project", params.cloud.project), ("location", params.cloud.location)):
        if found.get(part, wanted) != wanted:
            raise ParamsError(
                f"«{name}» es de {found[part]} y «{FLAT['cloud', part]}» dice {wanted}: "
                f"{value} no sería de esta plataforma."
            )
    return found["name"]


def _found(pattern: re.Pattern[str], name: str, value: str, shape: str) -> re.Match[str]:
    found = pattern.fullmatch(value)
    if found is None:
        raise ParamsError(f"«{name}» es «{value}», y la plataforma necesita {shape}.")
    return found

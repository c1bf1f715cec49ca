"""Google's ``aiplatform_v1`` messages, as JSON in and out.

The package's own ``__init__`` imports every client of Vertex AI (0.7 s of CPU, 132 MB); the
server needs a few message modules (0.1 s, 25 MB). So it puts the bare packages in place first.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from google.protobuf import field_mask_pb2, json_format, timestamp_pb2
from google.protobuf.message import Message

from .errors import ApiError

_PACKAGE = "google.cloud.aiplatform_v1"


def _bare(name: str) -> None:
    """Make a package importable from without running its ``__init__``."""
    if name in sys.modules:  # a process that has the clients anyway
        return
    parent, _, last = name.rpartition(".")
    for folder in importlib.import_module(parent).__path__:
        spec = importlib.machinery.PathFinder.find_spec(name, [folder])
        if spec is not None:
            module = ModuleType(name)
            module.__path__ = list(spec.submodule_search_locations or ())
            sys.modules[name] = module
            setattr(sys.modules[parent], last, module)
            return
    raise ModuleNotFoundError(name)


def _types(module: str, *names: str) -> list[Any]:
    """Return the protobuf classes of a module of ``aiplatform_v1.types``."""
    loaded = importlib.import_module(f"{_PACKAGE}.types.{module}")
    return [getattr(loaded, name).pb() for name in names]


_bare(_PACKAGE)
_bare(f"{_PACKAGE}.types")

(Model,) = _types("model", "Model")
(
    DeleteModelRequest,
    DeleteModelVersionRequest,
    GetModelEvaluationRequest,
    GetModelRequest,
    ImportModelEvaluationRequest,
    ListModelEvaluationsRequest,
    ListModelEvaluationsResponse,
    ListModelsRequest,
    ListModelsResponse,
    ListModelVersionsRequest,
    ListModelVersionsResponse,
    MergeVersionAliasesRequest,
    UpdateModelRequest,
    UploadModelOperationMetadata,
    UploadModelRequest,
    UploadModelResponse,
) = _types(
    "model_service",
    "DeleteModelRequest",
    "DeleteModelVersionRequest",
    "GetModelEvaluationRequest",
    "GetModelRequest",
    "ImportModelEvaluationRequest",
    "ListModelEvaluationsRequest",
    "ListModelEvaluationsResponse",
    "ListModelsRequest",
    "ListModelsResponse",
    "ListModelVersionsRequest",
    "ListModelVersionsResponse",
    "MergeVersionAliasesRequest",
    "UpdateModelRequest",
    "UploadModelOperationMetadata",
    "UploadModelRequest",
    "UploadModelResponse",
)
DeployedModel, Endpoint = _types("endpoint", "DeployedModel", "Endpoint")
(
    CreateEndpointOperationMetadata,
    CreateEndpointRequest,
    DeleteEndpointRequest,
    DeployModelOperationMetadata,
    DeployModelRequest,
    DeployModelResponse,
    GetEndpointRequest,
    ListEndpointsRequest,
    ListEndpointsResponse,
    UndeployModelOperationMetadata,
    UndeployModelRequest,
    UndeployModelResponse,
    UpdateEndpointRequest,
) = _types(
    "endpoint_service",
    "CreateEndpointOperationMetadata",
    "CreateEndpointRequest",
    "DeleteEndpointRequest",
    "DeployModelOperationMetadata",
    "DeployModelRequest",
    "DeployModelResponse",
    "GetEndpointRequest",
    "ListEndpointsRequest",
    "ListEndpointsResponse",
    "UndeployModelOperationMetadata",
    "UndeployModelRequest",
    "UndeployModelResponse",
    "UpdateEndpointRequest",
)
(CustomJob,) = _types("custom_job", "CustomJob")
(
    CancelCustomJobRequest,
    CreateCustomJobRequest,
    DeleteCustomJobRequest,
    GetCustomJobRequest,
    ListCustomJobsRequest,
    ListCustomJobsResponse,
) = _types(
    "job_service",
    "CancelCustomJobRequest",
    "CreateCustomJobRequest",
    "DeleteCustomJobRequest",
    "GetCustomJobRequest",
    "ListCustomJobsRequest",
    "ListCustomJobsResponse",
)
JobState = importlib.import_module(f"{_PACKAGE}.types.job_state").JobState
(ModelEvaluation,) = _types("model_evaluation", "ModelEvaluation")
(DeleteOperationMetadata,) = _types("operation", "DeleteOperationMetadata")


def parse(message: Message, content: Any) -> None:
    """Fill a message from JSON that was read already.

    Raises:
        ApiError: a field is unknown or of the wrong type; the text names it.
    """
    try:
        json_format.ParseDict(content, message)
    except (json_format.ParseError, TypeError, AttributeError) as error:
        raise ApiError.invalid("", f"La petición no es válida: {error}") from error


def to_json(message: Message, *, integers: bool = False) -> bytes:
    """Return a message as JSON; enum values as numbers when the client asks for them."""
    text = json_format.MessageToJson(message, indent=None, use_integers_for_enums=integers)
    return text.encode()


def stamp(target: timestamp_pb2.Timestamp) -> None:
    """Set a time field to the present instant."""
    target.FromDatetime(datetime.now(UTC))


def only(message: Message, allowed: Iterable[str], path: str) -> None:
    """Refuse a message in which anything but the ``allowed`` fields is set.

    Raises:
        ApiError: UNIMPLEMENTED, with the name of the field.
    """
    known = set(allowed)
    for field, _ in message.ListFields():
        if field.name not in known:
            raise ApiError.unimplemented(f"El campo «{path}.{field.name}»")


def masked(mask: field_mask_pb2.FieldMask, allowed: Iterable[str]) -> set[str]:
    """Return the fields that an update names.

    Raises:
        ApiError: none is named, or one that cannot be changed.
    """
    known = set(allowed)
    paths = set(mask.paths)
    if not paths:
        raise ApiError.invalid("update_mask", "«update_mask» está vacía: di qué campos cambian.")
    for path in sorted(paths - known):
        raise ApiError.invalid(
            "update_mask",
            f"«update_mask» nombra «{path}», que no se puede cambiar; se puede: "
            f"{', '.join(sorted(known))}.",
        )
    return paths

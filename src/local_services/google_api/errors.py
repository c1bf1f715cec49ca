"""What the API answers when it cannot do what was asked."""

from __future__ import annotations

from typing import Any

from google.rpc import code_pb2

from spotify_mlops.config.errors import UserError

_HTTP = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class ApiError(UserError):
    """A canonical status with a message (Spanish) for whoever made the call."""

    def __init__(
        self, status: str, message: str, *, field: str = "", http_status: int | None = None
    ) -> None:
        """Keep the status's name, the message and the request's field that is at fault."""
        super().__init__(message)
        self.status = status
        self.field = field
        self.http_status = http_status or _HTTP[status]

    @property
    def code(self) -> int:
        """Return the number of the status, as long-running operations carry it."""
        return code_pb2.Code.Value(self.status)

    def to_dict(self, server: str) -> dict[str, Any]:
        """Return the body of Google's JSON errors; ``server`` is who answers (Spanish)."""
        lacks = self.status == "UNIMPLEMENTED"
        error: dict[str, Any] = {
            "code": self.http_status,
            "message": f"{self} no está en el {server}." if lacks else str(self),
            "status": self.status,
        }
        if self.field:
            error["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": self.field, "description": str(self)}],
                }
            ]
        return {"error": error}

    @classmethod
    def invalid(cls, field: str, message: str) -> ApiError:
        """Make an INVALID_ARGUMENT about a field of the request."""
        return cls("INVALID_ARGUMENT", message, field=field)

    @classmethod
    def not_found(cls, what: str) -> ApiError:
        """Make a NOT_FOUND about a named thing."""
        return cls("NOT_FOUND", f"No existe {what}.")

    @classmethod
    def exists(cls, name: str) -> ApiError:
        """Make an ALREADY_EXISTS about a resource."""
        return cls("ALREADY_EXISTS", f"Ya existe {name}.")

    @classmethod
    def precondition(cls, message: str) -> ApiError:
        """Make a FAILED_PRECONDITION."""
        return cls("FAILED_PRECONDITION", message)

    @classmethod
    def unimplemented(cls, what: str) -> ApiError:
        """Make an UNIMPLEMENTED about a route or a field, which is its whole message."""
        return cls("UNIMPLEMENTED", what)

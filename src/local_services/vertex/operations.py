"""Long-running operations: kept like any resource, so that a client can ask after a restart."""

from __future__ import annotations

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from ..google_api import protobuf
from ..google_api.errors import ApiError
from ..google_api.store import Row, Store
from . import messages, names

KIND = "operation"
_Operation = operations_pb2.Operation


class Operations:
    """Makes, ends and finds operations."""

    def __init__(self, store: Store) -> None:
        """End what a server that was killed left unfinished."""
        self._store = store
        with store.change():
            for row in store.rows(KIND, _Operation):
                if not row.message.done:
                    self._end(row)

    def done(self, parent: str, response: Message, metadata: Message) -> operations_pb2.Operation:
        """Return an operation that is over already; to be called within ``Store.change``."""
        row = self._new(parent, metadata)
        row.message.done = True
        row.message.response.Pack(response)
        self._store.put(KIND, row, _owner(parent))
        return row.message

    def deleted(self, name: str) -> operations_pb2.Operation:
        """Return the finished operation of a deletion; within ``Store.change``."""
        return self.done(name, empty_pb2.Empty(), _metadata(messages.DeleteOperationMetadata()))

    def start(
        self, parent: str, metadata: Message, *, certain: Message | None = None
    ) -> operations_pb2.Operation:
        """Return an operation under way; within ``Store.change``.

        Args:
            parent: the resource that it is about.
            metadata: of the type that the API documents.
            certain: the response, when nothing can prevent it any more: a server that starts
                again ends the operation with it instead of with ABORTED.
        """
        row = self._new(parent, metadata)
        if certain is not None:
            row.message.response.Pack(certain)
        self._store.put(KIND, row, _owner(parent))
        return row.message

    def finish(self, name: str, response: Message | None = None) -> None:
        """End an operation well, with its response or the certain one; within ``change``."""
        row = self.row(name)
        if response is not None:
            row.message.response.Pack(response)
        row.message.done = True
        self._store.put(KIND, row, _owner(name))

    def fail(self, name: str, error: ApiError) -> None:
        """End an operation with an error; within ``Store.change``."""
        row = self.row(name)
        row.message.ClearField("response")
        row.message.done = True
        row.message.error.code = error.code
        row.message.error.message = str(error)
        self._store.put(KIND, row, _owner(name))

    def row(self, name: str) -> Row:
        """Return a stored operation.

        Raises:
            ApiError: there is none of that name.
        """
        return self._store.get(KIND, name, _Operation)

    async def get(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        """Answer GetOperation."""
        return self.row(request.name).message

    async def list_(self, request: operations_pb2.ListOperationsRequest) -> Message:
        """Answer ListOperations of an endpoint or of a location, newest first."""
        if request.filter:
            raise ApiError.unimplemented("El campo «filter» de las operaciones")
        found = [row.message for row in self._store.rows(KIND, _Operation, request.name)]
        return operations_pb2.ListOperationsResponse(operations=found[::-1])

    def _new(self, parent: str, metadata: Message) -> Row:
        name = f"{_owner(parent)}/operations/{names.new_id()}"
        operation = _Operation(name=name)
        operation.metadata.Pack(_metadata(metadata))
        return Row(name, operation)

    def _end(self, row: Row) -> None:
        row.message.done = True
        if not row.message.HasField("response"):
            row.message.error.code = ApiError("ABORTED", "").code
            row.message.error.message = "El Vertex AI local se detuvo antes de terminarla."
        self._store.put(KIND, row, _owner(row.name))


def _owner(name: str) -> str:
    """Return what an operation's name begins with: the endpoint that it is of, or the location."""
    endpoint = "/".join(name.split("/")[:6])
    return endpoint if "/endpoints/" in endpoint else names.location_of(name)


def _metadata(message: Message) -> Message:
    generic = message.generic_metadata  # type: ignore[attr-defined]
    protobuf.stamp(generic.create_time)
    protobuf.stamp(generic.update_time)
    return message

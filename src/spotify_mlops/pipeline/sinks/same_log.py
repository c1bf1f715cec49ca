"""Whether the topic is still the log that a job's position, archive and tables speak of."""

from __future__ import annotations

import msgspec
from apache_beam.io.filesystems import FileSystems

from ...config.errors import IntegrityError
from ...config.params import Params
from ...io import files, kafka
from ...io.archive import archived
from ...io.archive.location import archive_root
from ..position import Position
from . import archive, positions


class _Log(msgspec.Struct):
    topic_id: str


def identity_file(params: Params) -> str:
    """Return the small file of the archive that names the log that it holds.

    What begins with "_" is no data to whoever reads the folder as Parquet.
    """
    return FileSystems.join(archived.raw_folder(params), "_log.json")


def check(params: Params) -> str:
    """Return the identity of the topic, which becomes that of the archive if it has none.

    Raises:
        IntegrityError: position or archive are of another log, or the log has lost its end.
        ServiceError: Kafka does not answer, or there is no such topic.
    """
    found = kafka.identity(params)
    causes = changes(params, found)
    if causes:
        raise IntegrityError(explanation(params, causes))
    if files.read_bytes(identity_file(params)) is None:
        files.write_bytes(identity_file(params), msgspec.json.encode(_Log(found)))
    return found


def changes(params: Params, found: str | None = None) -> list[str]:
    """Return what says that the topic is another log than before, in Spanish; nothing is well.

    Older positions and archives name no log: of those it is only known how far they reach.

    Raises:
        ServiceError: Kafka does not answer, or there is no such topic.
        IntegrityError: position or archive are damaged.
    """
    found = kafka.identity(params) if found is None else found
    position = positions.load(params) or Position({}, {})
    names = {
        "la posición guardada": position.log,
        "el archivo": _archived_log(params),
    }
    causes = [
        f"{what} es del tema con identidad {name}, y el de ahora tiene {found}: se creó de nuevo"
        for what, name in names.items()
        if name is not None and name != found
    ]
    if causes:
        return causes
    ends = kafka.offsets(params)
    reached = {
        "la posición guardada": position.acknowledged,
        "el archivo": archive.coverage(params),
    }
    causes = [
        f"la partición {p} acaba en el registro {ends[p][1]} y {what} llega al {following}: al "
        "registro le falta el final"
        for what, offsets in reached.items()
        for p, following in offsets.items()
        if p in ends and following > ends[p][1]
    ]
    if causes:
        return causes
    known = {p: o for p, (o, _) in position.witnesses.items() if p in ends and o >= ends[p][0]}
    return [
        f"el registro {known[p]} de la partición {p} llegó el {position.witnesses[p][1]} y en su "
        f"lugar hay otro, del {time}: al registro le faltó el final y se siguió escribiendo"
        for p, time in kafka.append_times(params, known).items()
        if time != position.witnesses[p][1]
    ]


def explanation(params: Params, causes: list[str]) -> str:
    """Say what changed and what can be done about it."""
    return (
        f"El tema {params.kafka.topic} no es el registro que ya se procesó: {'; '.join(causes)}. "
        "Así queda, por ejemplo, si se borra la carpeta de datos de Kafka y no la del archivo "
        f"({archive_root(params)}). Recupera la de Kafka de una copia; o empieza con el "
        "registro de ahora: «spotify-mlops new-log» dice qué aparta y qué vacía, y con --yes lo "
        "hace; o usa otro topic y otro dataset en los parámetros."
    )


def _archived_log(params: Params) -> str | None:
    content = files.read_bytes(identity_file(params))
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=_Log).topic_id
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{identity_file(params)} no nombra un registro: {error}.") from error

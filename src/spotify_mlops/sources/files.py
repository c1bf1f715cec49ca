"""The files that a user names, whatever they are wrapped in: folders, zip, gzip.

A ``Part`` is one file with content of its own: a file, or a member of a zip. It is read as a stream
of blocks, so that its size is nobody's memory.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ..config import untrusted
from ..config.errors import InputError
from .countries import split_country

BLOCK = 4 << 20
_HEAD = 64 << 10
_FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "está comprimido con zstd: descomprímalo antes"),
    (b"7z\xbc\xaf\x27\x1c", "es un 7z: descomprímalo antes"),
    (b"Rar!", "es un rar: descomprímalo antes"),
    (b"\xfd7zXZ", "está comprimido con xz: descomprímalo antes"),
    (b"BZh", "está comprimido con bzip2: descomprímalo antes"),
    (b"PAR1", "es Parquet: guárdelo como CSV"),
    (b"%PDF", "es un PDF"),
    (b"\x89PNG", "es una imagen"),
    (b"\xff\xd8\xff", "es una imagen"),
    (b"SQLite format 3", "es una base de datos SQLite"),
    (b"\xd0\xcf\x11\xe0", "es un libro de Excel: guárdelo como CSV"),
)


@dataclass(frozen=True)
class Part:
    """One file to read."""

    path: Path
    member: str | None = None
    """Its name inside the zip that ``path`` is."""
    country: str | None = None
    """What the user said that it is of (``PATH=CC``)."""
    named: bool = True
    """The user named it, or the zip it is in; otherwise it was found in a folder."""
    wrapped: bool = False
    """It was found in a folder or in a zip, among others that may be something else."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.path.name}/{self.member}" if self.member else self.path.name

    @property
    def base(self) -> str:
        """Its own name, without folders."""
        return Path(self.member).name if self.member else self.path.name

    def head(self) -> bytes:
        """Return its beginning, as `blocks` does."""
        return next(self.blocks(_HEAD), b"")

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """Yield its content, unpacked and without a byte order mark, some bytes at a time.

        Raises:
            InputError: it cannot be read, or is no text in UTF-8.
        """
        read = 0
        with _told(self), self._open() as stream:
            while block := stream.read(size):
                if not read:
                    _check_kind(self, block)
                    block = block.removeprefix(b"\xef\xbb\xbf")
                read += size
                if read > untrusted.UNPACKED_BYTES:
                    raise InputError(
                        f"{self.name} ocupa más de {untrusted.UNPACKED_BYTES >> 30} GiB."
                    )
                yield block

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.member is None:
            with self.path.open("rb") as file, _gunzipped(file) as stream:
                yield stream
            return
        with (
            zipfile.ZipFile(self.path) as archive,
            archive.open(self.member) as member,
            _gunzipped(member) as stream,
        ):
            yield stream


@dataclass(frozen=True)
class NotRead:
    """A file that is not read, and why (Spanish)."""

    name: str
    reason: str


def expand(arguments: Sequence[str | Path]) -> tuple[list[Part], list[NotRead]]:
    """Return the files that some arguments name, each once, and what is passed over.

    Args:
        arguments: files, zips, folders (read to their depths), each also as ``PATH=CC``.

    Raises:
        InputError: a path does not exist, or a zip cannot be opened.
    """
    parts: dict[tuple[Path, str | None], Part] = {}
    not_read: list[NotRead] = []
    for argument in arguments:
        path, country = split_country(str(argument))
        if path.is_dir():
            found = sorted(item for item in path.rglob("*") if item.is_file())
        elif path.is_file():
            found = [path]
        else:
            raise InputError(f"No existe {path}. Da un archivo o una carpeta.")
        for file in found:
            for part in _members(file, country, is_folder=path.is_dir(), not_read=not_read):
                parts.setdefault((part.path.resolve(), part.member), part)
    return list(parts.values()), not_read


def _members(
    path: Path, country: str | None, *, is_folder: bool, not_read: list[NotRead]
) -> Iterator[Part]:
    if is_folder and path.name.startswith("."):
        return
    if not _is_zip(path):
        yield Part(path, None, country, not is_folder, is_folder)
        return
    with _told(Part(path)), zipfile.ZipFile(path) as archive:
        members = [item for item in archive.infolist() if not item.is_dir()]
    if any(item.filename == "[Content_Types].xml" for item in members):
        reason = f"{path.name} es un libro de Excel: guárdelo como CSV."
        if not is_folder:
            raise InputError(reason)
        not_read.append(NotRead(path.name, reason))
        return
    for item in sorted(members, key=lambda item: item.filename):
        base = Path(item.filename).name
        if base.startswith(".") or "__MACOSX/" in item.filename:
            continue
        if item.flag_bits & 1:
            raise InputError(f"{path.name}/{item.filename} tiene contraseña: descomprímalo antes.")
        if base.lower().endswith(".zip"):
            name = f"{path.name}/{item.filename}"
            not_read.append(NotRead(name, f"{name} es un zip dentro de otro: descomprímalo antes."))
            continue
        yield Part(path, item.filename, country, not is_folder, True)


def _is_zip(path: Path) -> bool:
    with _told(Part(path)), path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def _gunzipped(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give what a gzip file holds; any other is given as it is."""
    start = file.read(2)
    file.seek(0)
    if start != b"\x1f\x8b":
        yield file
        return
    with gzip.GzipFile(fileobj=file) as stream:
        yield cast(IO[bytes], stream)


@contextmanager
def _told(part: Part) -> Iterator[None]:
    """Say what cannot be read as the user's error that it is."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise InputError(f"No se puede leer {part.path}: {error}.") from error
    except RuntimeError as error:  # zipfile, of a member with a password
        raise InputError(f"No se puede leer {part.name}: {error}.") from error


def _check_kind(part: Part, block: bytes) -> None:
    for magic, what in _FOREIGN:
        if block.startswith(magic):
            raise InputError(f"{part.name} {what}.")
    if block.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in block[:4]:
        raise InputError(f"{part.name} está en UTF-16: guárdelo como UTF-8.")


def not_utf8(part: Part, block: bytes, line: int, position: int) -> InputError | None:
    """Return what is wrong with a block that is not UTF-8, or None if it is.

    Args:
        part: where it is from.
        block: whole lines.
        line: number of its first.
        position: of its first byte in the file.
    """
    try:
        block.decode()
    except UnicodeDecodeError as error:
        return InputError(
            f"{part.name} no está en UTF-8: byte {position + error.start} "
            f"(0x{block[error.start]:02x}), línea {line + block.count(10, 0, error.start)}. "
            "Guárdelo como UTF-8."
        )
    return None

"""How frames travel between the stages of a Beam graph: Arrow IPC streams."""

from __future__ import annotations

import io

import apache_beam as beam
import polars as pl
from apache_beam.coders import Coder


class FrameCoder(Coder):
    """Encodes a polars frame as an Arrow IPC stream.

    Compressed with LZ4 to about a third: runners copy the bytes several times, which costs more.
    """

    def encode(self, value: pl.DataFrame) -> bytes:
        """Return the frame as bytes."""
        buffer = io.BytesIO()
        value.write_ipc_stream(buffer, compression="lz4")
        return buffer.getvalue()

    def decode(self, encoded: bytes) -> pl.DataFrame:
        """Return the frame that ``encode`` wrote."""
        return pl.read_ipc_stream(io.BytesIO(encoded))

    def estimate_size(self, value: pl.DataFrame) -> int:
        """Return about how many bytes; Beam samples this, and would encode to know."""
        return int(value.estimated_size())

    def is_deterministic(self) -> bool:
        """Equal frames may differ in bytes (chunks), so frames are never keys."""
        return False

    def to_type_hint(self) -> type[pl.DataFrame]:
        """Return the type that interactive Beam shows."""
        return pl.DataFrame


beam.coders.registry.register_coder(pl.DataFrame, FrameCoder)

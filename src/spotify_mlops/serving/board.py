"""What the processes of one server share: which model answers, and what each of them has counted.

A piece of memory without a name: the process that made it gives its descriptor to those that it
starts, and it goes with the last of them. Every cell is an aligned word of eight bytes with one
writer, which the processor writes whole: a reader sees what it was or what it is, never a mixture,
and needs no lock.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile

ROW_CELLS = 64
"""Numbers that a process may keep. A multiple of a cache line: no two processes share one."""
_ROW_BYTES = 8 * ROW_CELLS
_GENERATION, _LISTENING = 0, 8
"""Cells of the head, each in a cache line of its own."""


class Board:
    """The shared memory: two numbers of all, and a row of numbers of each process."""

    def __init__(self, memory: mmap.mmap, descriptor: int | None = None) -> None:
        """Read memory that `alone`, `shared` or `opened` mapped."""
        self.descriptor = descriptor
        """What another process opens it by, if it can."""
        whole = memoryview(memory)
        self._head = whole[:_ROW_BYTES].cast("Q")
        numbers = whole[_ROW_BYTES:].cast("d")
        self.rows = [
            numbers[start : start + ROW_CELLS] for start in range(0, len(numbers), ROW_CELLS)
        ]

    @classmethod
    def alone(cls) -> Board:
        """Return a board of this process alone, with one row."""
        return cls(mmap.mmap(-1, 2 * _ROW_BYTES))

    @classmethod
    def shared(cls, rows: int) -> Board:
        """Return a board with so many rows that other processes can open."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("board")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, (1 + rows) * _ROW_BYTES)
        return cls.opened(descriptor)

    @classmethod
    def opened(cls, descriptor: int) -> Board:
        """Return the board that a descriptor is of."""
        return cls(mmap.mmap(descriptor, os.fstat(descriptor).st_size), descriptor)

    @property
    def generation(self) -> int:
        """The number of the model that answers; 0 while none does."""
        return self._head[_GENERATION]

    @generation.setter
    def generation(self, number: int) -> None:
        self._head[_GENERATION] = number

    @property
    def listening(self) -> int:
        """How many processes accept requests; 0 on the board of one alone."""
        return self._head[_LISTENING]

    @listening.setter
    def listening(self, number: int) -> None:
        self._head[_LISTENING] = number

"""
Frames in memory that the remote model's process shares: slots that are written in turn.

Pictures in, bytes at an offset out. Knows neither the process nor when a slot is free. Used by
the session, on one thread.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np


class FrameRing:
    """
    num_slots slots of slot_nbytes each; only what is written takes up memory.

    The memory has no name: it is gone with the last process that has it, however that ended.
    And it is sealed: the other process can't shrink it under this one, which would be fatal.
    """

    def __init__(self, num_slots: int, slot_nbytes: int):
        """Raise OSError where the system has no such memory."""
        self.num_slots = num_slots
        self.slot_nbytes = slot_nbytes
        self._fd = os.memfd_create('moss-frames', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._fd, num_slots * slot_nbytes)
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS,
                        fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._map = mmap.mmap(self._fd, num_slots * slot_nbytes)
        except BaseException:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Return the file descriptor to hand to the other process."""
        return self._fd

    def fits(self, image: np.ndarray) -> bool:
        """Whether image, uint8 [H, W, 3], is small enough for a slot."""
        return image.nbytes <= self.slot_nbytes

    def write(self, slot: int, image: np.ndarray) -> None:
        """Copy image, uint8 [H, W, 3] RGB, into a slot, row by row."""
        np.ndarray(image.shape, np.uint8, self._map, slot * self.slot_nbytes)[...] = image

    def close(self) -> None:
        """Give this process's share back."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1

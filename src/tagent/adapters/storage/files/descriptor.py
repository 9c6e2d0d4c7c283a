"""An open file that closes by itself."""

import os
from pathlib import Path


class Descriptor:
    """An open file, which closes when nobody knows it any more: somebody may still be reading it.

    Args:
        path: The file.
        is_created: Whether to create it, for its owner only, if it is missing.
    """

    __slots__ = ("number",)

    def __init__(self, path: Path, *, is_created: bool = False) -> None:
        self.number = -1
        self.number = os.open(path, os.O_RDWR | (os.O_CREAT if is_created else 0), 0o600)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)

"""Which kind of file system a file is on, as Linux tells it."""

import re
from pathlib import Path

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)

_MOUNTS = Path("/proc/self/mounts")


def mounts() -> str:
    """Return what is mounted where; empty where the system does not tell."""
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def file_system_of(path: Path, mounted: str) -> str:
    r"""Return the kind of file system that `path` is on, "" if nobody knows.

    Args:
        path: Absolute, without links.
        mounted: Lines of `/proc/self/mounts`, in which a space is written `\040`; the last mount of a place counts.

    Example:
        >>> file_system_of(Path("/home/me/runs.db"), "a / ext4 rw 0 0\nb /home nfs4 rw 0 0")
        'nfs4'
    """
    kinds: dict[Path, str] = {}
    for line in mounted.splitlines():
        _, _, rest = line.partition(" ")
        place, _, rest = rest.partition(" ")
        kinds[Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place))] = rest.partition(" ")[0]
    return next((kinds[place] for place in (path, *path.parents) if place in kinds), "")

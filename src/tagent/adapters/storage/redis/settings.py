"""What the server's settings mean for a store: for `tagent doctor`. A server may refuse to tell them."""

from collections.abc import Mapping

from tagent.adapters.storage.redis.link import Reply


def append_only_problem(info: Mapping[str, str], *, appendfsync: str) -> str:
    """Return why acknowledged commits may be lost, "" if they are safe.

    Args:
        info: What INFO tells, name -> value.
        appendfsync: The setting; empty if the server does not tell it.
    """
    enabled = info.get("aof_enabled")
    if enabled is None:
        return "It does not tell whether its append-only file is on. Set appendonly yes."
    if enabled != "1":
        return "Its append-only file is off: a restart loses runs. Set appendonly yes and appendfsync always."
    if info.get("aof_last_write_status", "ok") != "ok":
        return "It cannot write its append-only file: a restart loses runs. Check its disk."
    if appendfsync == "no":
        return "It leaves fsync to the system: a power failure loses runs. Set appendfsync always."
    return ""


def eviction_problem(info: Mapping[str, str]) -> str:
    """Return how the server might throw runs away for want of memory, "" if it does not.

    Args:
        info: What INFO tells, name -> value.
    """
    policy = info.get("maxmemory_policy", "")
    if info.get("maxmemory", "0") == "0" or not policy.startswith("allkeys"):
        return ""
    return f"It deletes runs when its memory is full (maxmemory-policy {policy}). Set maxmemory-policy noeviction."


def info_of(reply: Reply) -> Mapping[str, str]:
    """Return what an answer to INFO tells, name -> value; nothing if it was refused."""
    if not isinstance(reply, bytes):
        return {}
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}

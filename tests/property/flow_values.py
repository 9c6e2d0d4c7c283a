"""What everything in a generated run gives, worked out from what it sees: for who runs it, and for who expects it."""

from collections.abc import Mapping

INPUTS: Mapping[str, object] = {"on": True, "off": False, "things": [4, 5, 6]}
SUBSTITUTE: Mapping[str, object] = {"n": 3, "valid": True, "items": [1, 2], "kind": "a", "saw": {}}
EDITED: Mapping[str, object] = {"n": 5, "valid": False, "items": [7], "kind": "b", "saw": {}}
GIVEN: Mapping[str, object] = {"n": 6, "valid": True, "items": [8, 9], "kind": "c", "saw": {}}
THRESHOLD = 2
BRANCHES = 3
KINDS = "abc"


def number_of(output: object) -> int:
    """Return the number that stands for an output."""
    if isinstance(output, dict) and "n" in output:
        return int(output["n"])
    return len(output) if isinstance(output, dict | list | str) else int(output or 0)  # type: ignore[call-overload]


def output_of(place: int, seen: Mapping[str, object], seed: object = None) -> dict[str, object]:
    """Return what a step gives that sees these outputs: it tells of all of them."""
    saw = {name: number_of(seen[name]) for name in sorted(seen)}
    n = (place + sum(saw.values()) + number_of(seed)) % 7
    return {"n": n, "valid": n % 3 != 0, "items": list(range(n % 4)), "kind": KINDS[n % 3], "saw": saw}


def round_output(place: int, seen: Mapping[str, object], previous: object, number: int) -> dict[str, object]:
    """Return what a round gives."""
    return {**output_of(place, seen, number_of(previous) + number), "round": number}


def part_output(place: int, item: int, index: int) -> int:
    """Return what a part gives."""
    return place + 10 * index + item


def route_of(seen: Mapping[str, object]) -> str:
    """Return the route that a function names which sees these outputs; for `c` there is none."""
    return KINDS[sum(map(number_of, seen.values())) % 3]


def holds_for(seen: Mapping[str, object]) -> bool:
    """Return what a condition that is a function says of the outputs that it sees."""
    return sum(map(number_of, seen.values())) % 3 != 1


def passes(output: object) -> bool:
    """Return what a check that is a function says of an output."""
    return number_of(output) % 2 == 0

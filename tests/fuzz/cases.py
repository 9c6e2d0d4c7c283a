"""Random conditions: noise, words in any order, what the grammar allows, and each of these with something broken."""

from random import Random

from fuzz.hostile import HOSTILE

_CHARACTERS = "()[]{}'\"`!-<>=&|?:.,%*/+ \n\t\\0123456789eExuU_abstepinpuhldfrom$#@;~^\0\x1b\x7fñ\u202e\ud800😀"

_WORDS = [
    "steps", "inputs", "output", "steps.a", "steps.a.n", "steps.a.d", "steps.a.s", "steps.a.b", "steps.a.z",
    "steps.a.l", "steps.a.m", "steps.a.items", "inputs.long", "inputs.deep", "inputs.huge", "inputs.nan",
    "inputs.wide", "output.ok", "steps['my-step']", "x", "i", ".", ".n", ".k", "[0]", "[1]", "['k']", "[", "]",
    "(", ")", ",", "?", ":", "!", "-", "&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "*", "/", "%",
    "true", "false", "null", "0", "1", "2.5", "1e3", "9223372036854775807", "'a'", "'text'", '""', "has(",
    "size(", "int(", "double(", "string(", ".size()", ".startsWith(", ".endsWith(", ".contains(", ".all(i,",
    ".exists(i,", ".exists_one(i,", ".map(", ".matches(", "&", "=", "and", "or", "not", "True", "//", "\n",
    "__class__", "1u", "b'x'", "'''",
]  # fmt: skip

_BINARY = ["&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"]
_PATHS = [word for word in _WORDS if word.startswith(("steps.", "inputs.", "output."))]
_LEAVES = [*_PATHS, "true", "false", "null", "0", "7", "-1", "2.5", "'text'", "'a'", "[]", "[1, 2]", "i", "i.p"]


def random_condition(random: Random) -> str:
    """Return the next condition of `random`."""
    kind = random.randrange(50)
    if kind < 5:
        text = "".join(random.choice(_CHARACTERS) for _ in range(random.randrange(60)))
    elif kind < 20:
        text = random.choice(["", " "]).join(random.choice(_WORDS) for _ in range(random.randrange(1, 20)))
    elif kind < 49:
        text = _expression(random, random.randrange(1, 6))
    else:
        text = random.choice(HOSTILE)[:3000]
    for _ in range(random.choice([0, 0, 0, 1, 1, 2, 8])):
        text = _broken(random, text)
    return text


def _expression(random: Random, depth: int) -> str:
    if depth == 0:
        return random.choice(_LEAVES)
    kind = random.randrange(12)
    first = _expression(random, depth - 1)
    if kind < 6:
        return f"{first} {random.choice(_BINARY)} {_expression(random, depth - 1)}"
    if kind == 6:
        return f"({first})"
    if kind == 7:
        return f"{random.choice('!-')}({first})"
    if kind == 8:
        return f"{random.choice(['size', 'int', 'double', 'string'])}({first})"
    if kind == 9:
        return f"{random.choice(_PATHS)}.{random.choice(['all', 'exists', 'exists_one'])}(i, {first})"
    if kind == 10:
        return f"({first}).{random.choice(['startsWith', 'endsWith', 'contains'])}({_expression(random, depth - 1)})"
    if random.randrange(2):
        return f"has({random.choice(_PATHS)})"
    return f"{first} ? {_expression(random, depth - 1)} : {_expression(random, depth - 1)}"


def _broken(random: Random, text: str) -> str:
    place = random.randrange(len(text) + 1)
    end = place + random.choice([1, 1, 2, 5])
    match random.randrange(5):
        case 0:
            return text[:place] + text[end:]
        case 1:
            return text[:place] + random.choice(_CHARACTERS) + text[place:]
        case 2:
            return text[:place] + random.choice(_WORDS) + text[end:]
        case 3:
            return text[:place] + text[place:end] * random.choice([2, 3, 100]) + text[end:]
        case _:
            return text[:place]

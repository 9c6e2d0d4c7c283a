"""Takes keys out of texts that people and models will read: errors, log lines, events.

Known are the values that were registered, those of variables whose names say that they are secret, and what
stands where a header or an address has its credentials.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote

from tagent import surroundings

SECRET_ENDINGS = ("_API_KEY", "_ACCESS_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_PASS", "_CREDENTIALS")
"""How the names of variables end that hold a secret."""

SHORTEST_SECRET = 8
"""Characters; what is shorter may be an ordinary word."""

HIDDEN = "***"

_HEADER = re.compile(
    r"""((?:proxy-)?authorization|(?:x-)?(?:goog-)?api-key)(["']?\s*[:=]\s*["']?)[^\r\n"',;}]+""", re.IGNORECASE
)
# Up to the next word, for there is a text around it. Three dots are how a manual writes it.
_ASSIGNED = re.compile(r"""(api_?key["']?\s*[:=]\s*["']?)(?!\.\.\.)[^\s"',;&)}\]]+""", re.IGNORECASE)
_BASIC = re.compile(r"\b(basic\s+)([\w+/-]+)=*", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer\s+)[\w.~+/=-]+", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(://)[^/\s:@]*:[^/\s]*@")

_registered: set[str] = set()


def register_secret(value: str) -> None:
    """Let `scrubbed` hide `value` from now on, for the life of the process.

    Args:
        value: A key or password; one of less than eight characters is not kept, as it may be a word.

    Example:
        >>> register_secret("sesame-opens")
        >>> scrubbed("401: sesame-opens is no key")
        '401: *** is no key'
    """
    if len(value) >= SHORTEST_SECRET:
        _registered.add(value)


def scrubbed(text: str) -> str:
    """Return `text` with every secret that this process knows replaced by `***`.

    Example:
        >>> scrubbed("GET redis://me:pass@host failed with Authorization: Bearer abc")
        'GET redis://***@host failed with Authorization: ***'
    """
    return without_secrets(text, _registered | secrets_in(surroundings.environment()))


def secrets_in(variables: Mapping[str, str]) -> frozenset[str]:
    """Return the values of the variables that hold a secret.

    Example:
        >>> secrets_in({"OPENAI_API_KEY": "sk-12345678", "HOME": "/root-of-all", "CI_TOKEN": "short"})
        frozenset({'sk-12345678'})
    """
    values = (variables[name] for name in variables if name.upper().endswith(SECRET_ENDINGS))
    return frozenset(value for value in values if len(value) >= SHORTEST_SECRET)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without any of `secrets`, plain or as in a URL, and without credentials in headers and addresses.

    Example:
        >>> without_secrets("key=a%2Fb-longer", ["a/b-longer"])
        'key=***'
    """
    for secret in _forms(frozenset(secrets)):
        text = text.replace(secret, HIDDEN)
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    text = _BASIC.sub(_without_credentials, _ASSIGNED.sub(rf"\1{HIDDEN}", text))
    return _CREDENTIALS.sub(rf"\1{HIDDEN}@", _BEARER.sub(rf"\1{HIDDEN}", text))


def _without_credentials(found: re.Match[str]) -> str:
    """Return what follows `Basic` as it is, unless it is `user:password` in base64."""
    word = found[2]
    try:
        plain = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_" if set(word) & {"-", "_"} else None)
    except binascii.Error:  # an ordinary word
        return found[0]
    return f"{found[1]}{HIDDEN}" if b":" in plain else found[0]


@lru_cache(maxsize=8)
def _forms(secrets: frozenset[str]) -> tuple[str, ...]:
    """Return how the secrets may be written, the longest first: one may be a part of another."""
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))

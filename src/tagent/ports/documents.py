"""What a store keeps of memory: documents in scopes, as plain values. A scope and a key are names, and no more."""

from tagent.values import value


@value
class Document:
    """Something remembered.

    Attributes:
        scope: Whose it is.
        key: Its name there.
        version: Grows with every write to the scope, so no two contents of a key ever had the same one.
        value: UTF-8 JSON.
        at: When it was written, by the store's clock, in seconds since 1970-01-01 UTC.
        expires_at: From when on it is not there any more; None for never.
    """

    scope: str
    key: str
    version: int
    value: bytes
    at: float
    expires_at: float | None = None


def version_of(document: Document | None) -> int:
    """Return what a put expects that is to follow on a document; 0 where there is none.

    Example:
        >>> version_of(None), version_of(Document("space/a", "b", 7, b"1", at=0.0))
        (0, 7)
    """
    return 0 if document is None else document.version


@value
class Quota:
    """How much a scope may hold.

    Attributes:
        documents: How many documents.
        bytes: How many bytes their values take together.
    """

    documents: int
    bytes: int


@value
class Put:
    """A document to write or delete.

    Attributes:
        scope: Whose it is.
        key: Its name there.
        value: UTF-8 JSON; None deletes the document, and does nothing if there is none.
        text: What `DocumentQuery.words` are looked for in.
        expected_version: What its version must be now, 0 if it must not be there; None for whatever it is.
        ttl_seconds: How long it is kept from now; None for ever.
        quota: What the scope may hold afterwards; None for any amount. A deletion is never refused.
    """

    scope: str
    key: str
    value: bytes | None
    text: str = ""
    expected_version: int | None = None
    ttl_seconds: float | None = None
    quota: Quota | None = None


@value
class DocumentQuery:
    """Which documents of a scope to list, by key in the order of its code points.

    Attributes:
        scope: Whose they are.
        prefix: What their keys begin with.
        words: The text of each contains every one of these, letter by letter.
        after: Only keys behind this one; a whole scope is read page by page with it.
        limit: How many at most.
    """

    scope: str
    prefix: str = ""
    words: tuple[str, ...] = ()
    after: str = ""
    limit: int = 100


@value
class ScopeUsage:
    """What a scope holds; what has expired and was not swept yet may be counted.

    Attributes:
        scope: Its name.
        documents: How many documents.
        bytes: How many bytes their values take together.
    """

    scope: str
    documents: int
    bytes: int

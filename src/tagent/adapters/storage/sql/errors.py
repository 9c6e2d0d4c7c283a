"""What the database reports, as errors of ours: what happened, to which store, and what to do.

Here is what is the same for all databases; the rest is in `sqlite_errors` and `postgresql_errors`.
"""

from queue import Empty

from tagent.adapters.storage.sql.sqlite_errors import of_sqlite
from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreUnavailableError


def translated(error: Exception, *, store: str) -> StoreError:
    """Return the error of ours that says what `error` means.

    Args:
        error: What the driver or the operating system raised; `Empty` when no connection came free.
        store: What the store is called: its path, or its address without a password. The message never
            holds a statement or its values.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, Empty):
        return StoreUnavailableError(f"The store {store} is too busy to be read.", hint="Try again.")
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return StoreUnavailableError(
            f"The store {store} cannot be opened: {reason}.", hint="Check the path and its permissions."
        )
    if isinstance(error, UnicodeEncodeError):
        return StoreError("A text holds half of a surrogate pair: it is not Unicode, and no store can keep it.")
    if type(error).__module__.startswith("psycopg"):  # which is imported only where it is used
        from tagent.adapters.storage.sql.postgresql_errors import of_postgresql

        return of_postgresql(error, store=store)
    return of_sqlite(error, store=store)

"""What is read from the tables: each function here asks on a cursor, a reader's or the writer's."""

from collections.abc import Sequence

from tagent.adapters.storage.sql.driver import Cursor
from tagent.adapters.storage.sql.statements import Statements, run_record
from tagent.exceptions import StoreError, nearest
from tagent.ports.records import Record, RunQuery, RunRecord
from tagent.ports.store_errors import MissingBlobError, UnknownRunError


class JournalReads:
    """The reads of a store; `tagent.ports.store.Store` says what each returns and raises.

    Args:
        statements: In the words of the database.
    """

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def run(self, cursor: Cursor, *, run_id: str) -> RunRecord:
        """Return what is known of the run."""
        cursor.execute(self._statements.select_run, {"this_run": run_id})
        for row in cursor.fetchall():
            return run_record(row)
        cursor.execute(self._statements.select_newest_ids)
        raise UnknownRunError(run_id, suggestion=nearest(run_id, [known for (known,) in cursor.fetchall()]))

    def runs(self, cursor: Cursor, *, query: RunQuery) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first."""
        cursor.execute(*self._statements.select_runs(query))
        return [run_record(row) for row in cursor.fetchall()]

    def records(self, cursor: Cursor, *, run_id: str, after_seq: int) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""
        cursor.execute(self._statements.select_records, {"this_run": run_id, "after_seq": after_seq})
        rows = cursor.fetchall()
        if not rows:
            self.run(cursor, run_id=run_id)
        return [Record(*row) for row in rows]

    def definition(self, cursor: Cursor, *, definition_hash: str) -> bytes:
        """Return the definition with this hash."""
        cursor.execute(self._statements.select_definition, {"this_hash": definition_hash})
        for (spec,) in cursor.fetchall():
            return bytes(spec)
        raise StoreError(f"No definition has the hash {definition_hash!r}.")

    def blob(self, cursor: Cursor, *, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash."""
        cursor.execute(self._statements.select_blob, {"this_hash": blob_hash})
        for (content,) in cursor.fetchall():
            return bytes(content)
        raise MissingBlobError(blob_hash)

"""How the writer writes effects: everything is decided before anything changes, by whoever has the lock of effects.

So what raises an error of ours has changed nothing, as in `writes`, and what was decided on stays so until
the commit.
"""

from tagent.adapters.storage.sql.driver import Cursor
from tagent.adapters.storage.sql.effect_draft import EffectDraft
from tagent.adapters.storage.sql.effect_statements import EffectStatements
from tagent.ports.effects import Effects, Swept, Written


class EffectWrites:
    """The writes of effects. There is one transaction at a time, and each has a cursor of its own.

    Args:
        statements: In the words of the database.
    """

    def __init__(self, statements: EffectStatements) -> None:
        self._effect_statements = statements
        self._drafted: EffectDraft | None = None

    def write(self, cursor: Cursor, *, effects: Effects) -> Written:
        """Write effects that belong to no run."""
        if not effects:
            return Written()
        draft = self._draft(cursor)
        decision = draft.decide(effects)
        draft.apply(decision)
        return decision.written

    def forget(self, cursor: Cursor, *, prefix: str) -> None:
        """Delete every scope, topic and subscriber whose name begins with `prefix`."""
        self._draft(cursor).rewrite()
        for statement, values in self._effect_statements.deletions(prefix):
            cursor.execute(statement, values)

    def sweep(self, cursor: Cursor, *, messages_older_than_seconds: float) -> Swept:
        """Delete the documents that have expired, and the messages that are older."""
        draft = self._draft(cursor)
        documents = draft.delete_expired()
        cursor.execute(self._effect_statements.select_swept, {"before": draft.now - messages_older_than_seconds})
        messages = 0
        for topic, gone, through in cursor.fetchall():
            if through > gone:
                values = {"this_topic": topic, "through": through}
                cursor.execute(self._effect_statements.delete_messages, values)
                messages += cursor.rowcount
                cursor.execute(self._effect_statements.shrink_topic, values)
        return Swept(documents, messages)

    def finish(self, cursor: Cursor) -> None:
        """Execute what the writes of the transaction have left for its end; comes before every commit."""
        if self._drafted is not None and self._drafted.cursor is cursor:
            self._drafted.write()
        self._drafted = None

    def _draft(self, cursor: Cursor) -> EffectDraft:
        """Return the draft of the transaction; its first one takes the lock of effects."""
        if self._drafted is None or self._drafted.cursor is not cursor:  # that of one that was rolled back
            self._drafted = EffectDraft(cursor, self._effect_statements)
        return self._drafted

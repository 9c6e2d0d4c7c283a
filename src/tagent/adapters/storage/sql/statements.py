"""Every statement on the tables, as plain SQL. Only `dialects` knows in which words the databases differ.

Parameters are `:named` and come as a dict, except those of the one that is executed for every record:
its rows come in the order of the columns.
"""

# ruff: noqa: S608 - the texts are put together of words of ours alone; what others say is a parameter

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from tagent.adapters.storage.sql.dialects import Dialect
from tagent.ports.records import RunQuery, RunRecord

RUN_RECORD = tuple(field.name for field in fields(RunRecord))
"""The columns of a `RunRecord`, in its order."""

_SELECT_RUN = f"SELECT {', '.join(RUN_RECORD)} FROM run".replace("labels", "CAST(labels AS TEXT)")  # for both drivers


def run_record(row: Sequence[Any]) -> RunRecord:
    """Return the record that a row of `RUN_RECORD` holds."""
    known = dict(zip(RUN_RECORD, row, strict=True))
    return RunRecord(**known | {"labels": json.loads(known["labels"])})


class Statements:
    """The statements in the words of a database.

    Args:
        dialect: Those words.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        text = dialect.text
        lease_until = f"{dialect.now} + :lease_seconds"
        is_free = f"(owner = '' OR lease_until <= {dialect.now} OR owner = :gone_owner)"
        claimed = "run_id = :this_run AND epoch = :this_epoch"
        continued = f"{claimed} AND last_seq = :expected_seq"
        # Cast, because PostgreSQL asks for the type of a value of which it only hears whether it is one.
        summary = (
            "status = :new_status, updated_at = :new_updated_at, finished_at = :new_finished_at, "
            "cost_usd = :new_cost_usd, text = coalesce(:new_text, text), "
            "owner = CASE WHEN CAST(:new_finished_at AS DOUBLE PRECISION) IS NULL THEN owner ELSE '' END"
        )

        self.insert_run = text(
            "INSERT INTO run (run_id, pipeline, definition_hash, status, epoch, last_seq, owner, created_at,"
            " updated_at, finished_at, cost_usd, labels, parent, forked_seq, text, lease_until) "
            "VALUES (:run_id, :pipeline, :definition_hash, :status, :epoch, :last_seq, :owner, :created_at,"
            f" :updated_at, :finished_at, :cost_usd, {dialect.labels}, :parent, :forked_seq, :text, {lease_until}) "
            "ON CONFLICT DO NOTHING"
        )
        self.select_run = text(f"{_SELECT_RUN} WHERE run_id = :this_run")
        # Among these the id is looked for that somebody may have meant.
        self.select_newest_ids = text("SELECT run_id FROM run ORDER BY created_at DESC LIMIT 1000")
        self.select_seconds_left = text(f"SELECT lease_until - {dialect.now} FROM run WHERE run_id = :this_run")
        self.claim = text(
            f"UPDATE run SET epoch = epoch + 1, owner = :new_owner, lease_until = {lease_until} "
            f"WHERE run_id = :this_run AND {is_free}"
        )
        self.renew = text(f"UPDATE run SET lease_until = {lease_until} WHERE {claimed}")
        self.release = text(f"UPDATE run SET owner = '' WHERE {claimed}")
        self.keep = text(f"UPDATE run SET epoch = epoch WHERE {claimed}")
        self.summarize = text(f"UPDATE run SET {summary} WHERE {claimed}")
        self.extend = text(f"UPDATE run SET last_seq = :new_seq WHERE {continued}")
        self.extend_and_summarize = text(f"UPDATE run SET last_seq = :new_seq, {summary} WHERE {continued}")
        self.delete_run = text(f"DELETE FROM run WHERE run_id = :this_run AND finished_at IS NOT NULL AND {is_free}")

        self.insert_event = text("INSERT INTO event (run_id, seq, epoch, at, kind, payload) VALUES (?, ?, ?, ?, ?, ?)")
        self.select_records = text(
            "SELECT seq, kind, at, payload FROM event WHERE run_id = :this_run AND seq > :after_seq ORDER BY seq"
        )
        self.delete_events = text("DELETE FROM event WHERE run_id = :this_run")

        self.insert_definition = text(
            "INSERT INTO definition (hash, spec) VALUES (:hash, :spec) ON CONFLICT DO NOTHING"
        )
        self.select_definition = text("SELECT spec FROM definition WHERE hash = :this_hash")
        self.delete_definition = text(
            "DELETE FROM definition WHERE hash = :this_hash"
            " AND NOT EXISTS (SELECT 1 FROM run WHERE definition_hash = :this_hash)"
        )

        self.insert_blob = text("INSERT INTO blob (hash, content) VALUES (:hash, :content) ON CONFLICT DO NOTHING")
        self.insert_run_blob = text(
            "INSERT INTO run_blob (run_id, hash) VALUES (:run_id, :hash) ON CONFLICT DO NOTHING"
        )
        self.select_blob = text("SELECT content FROM blob WHERE hash = :this_hash")
        # An update, because that keeps a deletion by another process waiting; reading would not.
        self.keep_blob = text("UPDATE blob SET hash = hash WHERE hash = :this_hash")
        self.delete_blobs = text(
            "DELETE FROM blob WHERE hash IN (SELECT hash FROM run_blob WHERE run_id = :this_run) AND NOT EXISTS"
            " (SELECT 1 FROM run_blob WHERE run_blob.hash = blob.hash AND run_blob.run_id <> :this_run)"
        )
        self.delete_run_blobs = text("DELETE FROM run_blob WHERE run_id = :this_run")

    def select_runs(self, query: RunQuery) -> tuple[str, dict[str, object]]:
        """Return the statement that finds the runs that fit, the newest first, and its parameters."""
        values: dict[str, object] = {}

        def given(value: object) -> str:
            name = f"value_{len(values)}"
            values[name] = value
            return f":{name}"

        conditions = ["true"]
        for column, allowed in (("status", query.statuses), ("pipeline", query.pipelines)):
            if allowed:
                conditions.append(f"{column} IN ({', '.join(map(given, allowed))})")
        if query.since is not None:
            conditions.append(f"created_at >= {given(query.since)}")
        if query.until is not None:
            conditions.append(f"created_at < {given(query.until)}")
        members = f"SELECT 1 FROM {self.dialect.members}(labels)"
        for name, value in query.labels.items():
            conditions.append(f"EXISTS ({members} WHERE key = {given(name)} AND value = {given(value)})")
        conditions.extend(f"{self.dialect.position}(text, {given(word)}) > 0" for word in query.words)
        return self.dialect.text(
            f"{_SELECT_RUN} WHERE {' AND '.join(conditions)}"
            f" ORDER BY created_at DESC, run_id DESC LIMIT {given(query.limit)}"
        ), values

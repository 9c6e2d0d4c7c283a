"""Which store is used, and how its URL is printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.cli import stores
from tagent.cli.stores import DEFAULT_STORE, PLAIN_STORE, with_store, without_password
from tagent.config import TAgentConfig


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("memory://", "memory://"),
        ("sqlite:///a@b:c.db?synchronous=normal", "sqlite:///a@b:c.db?synchronous=normal"),
        ("file:////home/x:y@z/runs", "file:////home/x:y@z/runs"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:sec@ret/with:all@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:secret?@host/db", "postgresql://me:***@host/db"),
        ("postgresql:///db?host=/run&password=secret", "postgresql:///db?host=/run&password=***"),
        ("postgresql:///db?p%61ssword=secret", "postgresql:///db?p%61ssword=***"),
        ("me:secret@host/db", "***"),
    ],
)
def test_a_url_is_printed_without_its_password(url: str, printed: str) -> None:
    """Terminals are watched, and their output is pasted into issues."""
    assert without_password(url) == printed


@given(st.text("secret:@/?#&=% ", min_size=1), st.sampled_from(["", "/db", "/db?sslmode=require"]))
def test_no_password_is_printed_whatever_is_in_it(password: str, rest: str) -> None:
    """Also one that should have been escaped and was not."""
    assert "X" + password + "X" not in without_password(f"redis://me:X{password}X@host{rest}")


def test_without_a_database_runs_are_kept_in_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that can be resumed needs no package more than tagent itself."""
    assert with_store(TAgentConfig(), None).store == DEFAULT_STORE
    monkeypatch.setattr(stores, "find_spec", lambda name: None)
    assert with_store(TAgentConfig(), None).store == PLAIN_STORE
    assert PLAIN_STORE in capsys.readouterr().err
    assert with_store(TAgentConfig(store="memory://"), None).store == "memory://"
    assert with_store(TAgentConfig(store="memory://"), DEFAULT_STORE).store == DEFAULT_STORE

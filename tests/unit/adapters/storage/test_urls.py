"""From a URL to a store."""

import subprocess
import sys
from pathlib import Path

import pytest

from tagent.adapters.storage.memory import MemoryStore
from tagent.adapters.storage.urls import lasting_url, open_store
from tagent.exceptions import ConfigurationError, MissingExtraError


def test_memory_is_the_store_of_this_process() -> None:
    """It needs nothing."""
    assert isinstance(open_store("memory://"), MemoryStore)


async def test_three_slashes_are_relative_and_four_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everywhere else where SQLite has a URL."""
    monkeypatch.chdir(tmp_path)
    await open_store("sqlite:///here/runs.db").close()
    await open_store(f"sqlite:///{tmp_path}/there/runs.db?synchronous=normal").close()
    assert (tmp_path / "here" / "runs.db").is_file()
    assert (tmp_path / "there" / "runs.db").is_file()


def test_a_lasting_url_leads_to_the_same_store_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads an output after the run may have gone elsewhere."""
    monkeypatch.chdir(tmp_path)
    relative = "sqlite:///runs.db?synchronous=normal"
    assert lasting_url(relative) == f"sqlite:///{tmp_path}/runs.db?synchronous=normal"
    assert lasting_url("file:///runs") == lasting_url(lasting_url("file:///runs")) == f"file:///{tmp_path}/runs"
    assert lasting_url("postgresql://me@host/runs") == "postgresql://me@host/runs"
    assert lasting_url("memory://") == "", "it ends with its process"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlit:///runs.db", "No store is called 'sqlit'. Did you mean 'sqlite'?"),
        ("memory://name", "No store is called 'memory' with a name behind it."),
        ("", "The store is not a URL."),
        (".tagent/runs.db", "The store is not a URL."),
        ("sqlite://", "does not name a file"),
        ("sqlite:///", "does not name a file"),
        ("sqlite://runs.db", "three slashes"),
        ("sqlite:///:memory:", "does not name a file"),
        ("sqlite:///runs.db?sync=off", "'?sync=off' is not an option"),
        ("sqlite:///runs.db?synchronous=off", "'?synchronous=off' is not an option"),
    ],
)
def test_a_url_of_no_known_form_is_answered_with_the_forms(
    url: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows by heart how many slashes there are."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="Known: ") as raised:
        open_store(url)
    assert message in raised.value.message
    assert not any(tmp_path.iterdir())


def test_a_password_in_a_url_is_not_shown() -> None:
    """Messages get into logs."""
    for url in ("mysql://me:hunter2@host/db", "me:hunter2@host"):
        with pytest.raises(ConfigurationError) as raised:
            open_store(url)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("missing", ["sqlalchemy", "alembic"])
def test_a_sqlite_store_without_its_packages_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core installs without them."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"A SQLite store requires: pip install tagent\[persistence\]"):
        open_store("sqlite:///runs.db")


def test_the_contract_of_stores_loads_its_test_tools_only_when_it_is_used() -> None:
    """`tagent.testing` must work where pytest is not installed."""
    code = "import sys, tagent.testing; print([name for name in ('pytest', 'hypothesis') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b"[]"

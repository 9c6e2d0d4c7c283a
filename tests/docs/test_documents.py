"""Documents are code: what they show runs, what they list is what there is."""

import doctest
import importlib
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import tagent
from builders import GivenModels
from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.ports import LanguageModel, ModelRequest, Services
from tagent.ports.services import register_services
from tagent.runtime import open_services
from tagent.task_agent.state_machine import TABLE
from tagent.testing import ScriptedModel

ROOT = Path(__file__).parents[2]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(tagent.__path__, "tagent.")
    if not module.name.endswith("embedded_server")  # it is a program
]


def blocks(file: str, language: str) -> list[str]:
    """Return the code blocks of a document, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)


def answer(request: ModelRequest) -> object:
    """Answer what the examples ask."""
    if request.purpose == "plan" and "tea" in request.messages[-1].content:
        return [{"tool_name": "recall", "tool_args": {"about": "tea"}}]
    if request.purpose == "plan" and "azulejos" in request.messages[-1].content:
        return [{"tool_name": "search", "tool_args": {"query": "azulejo", "pages": 2}}]
    if request.purpose == "plan":
        return [{"tool_name": "population", "tool_args": {"city": city}} for city in ("Porto", "Lisbon")]
    is_text = "str" in str(request.output_type.model_fields["output"].annotation)  # type: ignore[attr-defined]
    people = [int(number) for number in re.findall(r"\b\d{6}\b", request.messages[-1].content)]
    more = f"{max(people) - min(people):,}" if people else "Nobody lives there."
    return more if is_text else {"mood": "its colour", "reasons": ["I like my teapot."]}


class Answering(GivenModels):
    """Hands out the script for every model that would be fetched from a provider."""

    async def model_for(self, config: TAgentConfig) -> LanguageModel:
        """Return the model that is given as an object, else the script."""
        return self.default if isinstance(config.model, str | list) else await super().model_for(config)


@pytest.fixture
def _answered() -> Iterator[None]:
    """Let code that is given no model of its own be answered by the script; all else is real."""

    @asynccontextmanager
    async def scripted(config: TAgentConfig) -> AsyncIterator[Services]:
        async with open_services(config) as opened:
            yield replace(opened, models=Answering(ScriptedModel(answer)))

    register_services(scripted)
    yield
    register_services(open_services)


@pytest.mark.usefixtures("_answered")
def test_the_code_in_the_readme_runs_and_prints_what_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the first code that anyone copies."""
    readme = blocks("README.md", "python")
    monkeypatch.chdir(tmp_path)
    for number, code in enumerate(readme):
        exec(compile(code, f"README.md, block {number}", "exec"), {"__name__": f"readme_{number}"})  # noqa: S102
    printed = capsys.readouterr().out
    assert "# teapot\n\nLiked: its colour" in printed
    assert "314,000" in printed
    assert "Printed: About tea, and why, and why" in printed


PAGES = [
    str(page.relative_to(ROOT))
    for page in sorted(ROOT.glob("docs/**/*.md"))
    if "```python" in page.read_text(encoding="utf-8") and page.parent.name != "tutorial"  # it is typed in
]


@pytest.mark.usefixtures("_answered")
@pytest.mark.parametrize("page", PAGES)
def test_the_code_on_a_page_runs_and_prints_what_stands_behind_it(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `print(...)  # this` shows is promised. The blocks of a page are one program, on a store on disk."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": Path(page).stem}
    code = "\n".join(blocks(page, "python"))
    exec(compile(code, page, "exec"), namespace)  # noqa: S102
    assert capsys.readouterr().out.splitlines() == re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)


def test_the_agents_diagram_is_the_transition_table() -> None:
    """A diagram that lags behind the code misleads."""
    assert TABLE.mermaid() + "\n" in blocks("docs/explanation/agent.md", "mermaid")


def errors(root: type[TAgentError] = TAgentError) -> Iterator[type[TAgentError]]:
    """Yield every error class of tagent."""
    for name in MODULES:
        importlib.import_module(name)
    for child in root.__subclasses__():
        yield child
        yield from errors(child)


def test_the_error_reference_names_every_code_and_what_is_retried() -> None:
    """Programs match on codes, and people decide by the table."""
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| .*? \| (yes|no)\b.*\|$", page, re.MULTILINE))
    raised = {error.code: error.is_retryable for error in errors() if error.__module__.startswith("tagent.")}
    families = {"model", "tool", "agent", "step", "pipeline"}
    for code, is_retryable in raised.items():
        if code in families:
            continue
        assert code in rows, f"{code} is not on the page"
        if code != "step.failed":  # it depends on the cause
            assert rows[code] == ("yes" if is_retryable else "no"), code
    not_errors = {
        "agent.goal_not_achieved",
        "agent.plan_rejected",
        "tool.unknown",
        "step.cancelled",
        "step.compensation",
        "step.parts",
        "approval.rejected",
        "approval.waiting",
        "run.cancelled",
        "upstream_failed",
        "dependency_unmet",
    }
    assert rows.keys() - raised.keys() <= not_errors


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    """They are read more often than any other page."""
    failures, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failures == 0


def test_every_link_between_documents_leads_somewhere() -> None:
    """A dead link is the first thing that a new reader finds."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    for page in pages:
        for target, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name} -> {target}"
            assert not heading or heading in headings(there), f"{page.name} -> {target}#{heading}"


def headings(page: Path) -> set[str]:
    """Return what the headings of a page are called in links to them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    ("index", "pages"), [("docs/README.md", "docs/[!a]*/*.md"), ("docs/adr/README.md", "docs/adr/0*.md")]
)
def test_an_index_has_each_of_its_pages(index: str, pages: str) -> None:
    """What nothing leads to is not read."""
    file = ROOT / index
    listed = {file.parent / target for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8"))}
    assert set(ROOT.glob(pages)) <= listed


def test_every_test_that_the_promises_name_exists() -> None:
    """A promise without its test is a wish."""
    page = (ROOT / "docs/explanation/durability.md").read_text(encoding="utf-8")
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "src/tagent/testing/store_contract").glob("*.py")]
    written = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 10
    for name in named:
        assert f"def {name}(" in written, name

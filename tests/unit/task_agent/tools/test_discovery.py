"""Tools and output schemas in files: which are found, what is taken from them, and what is said of a bad one."""

import logging
import os
import sys
from pathlib import Path

import pytest

from tagent.ports.toolsets import MCPServer
from tagent.task_agent.tools.discovery import DEEPEST, ToolLoadError, discover_output_schema, discover_tools
from tagent.task_agent.tools.tool import Tool


@pytest.fixture(autouse=True)
def _same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


def tools(folder: Path, text: str = "", name: str = "tagent.tools.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def names(path: Path | str) -> list[str]:
    return [tool.name for tool in discover_tools(path) if isinstance(tool, Tool)]


def test_public_functions_of_the_file_and_its_tool_objects_are_tools(tmp_path: Path) -> None:
    """What it imports or hides is not offered to a model."""
    text = """
from json import dumps
from tagent.task_agent.tools.decorator import tool
from tagent.task_agent.tools.tool import Tool

class Index:
    def search(self, text: str) -> str: ...

def fetch(url: str) -> str: ...

@tool(name="pay", side_effect=True)
async def transfer(amount: float) -> None: ...

def _hidden() -> None: ...

search = Tool.of(Index().search)
again = fetch
limit = 3
"""
    found = discover_tools(tools(tmp_path, text, "any_name.py"))
    assert [(tool.name, tool.side_effect) for tool in found if isinstance(tool, Tool)] == [
        ("fetch", False),
        ("pay", True),
        ("search", False),
    ]


def test_what_all_names_are_the_only_tools(tmp_path: Path) -> None:
    """There it may be anything that is called: imported, an object, a class."""
    text = """
from os.path import basename
__all__ = ["basename", "Echo", "shout"]
class Echo:
    def __call__(self, text: str) -> str: ...
def shout(text: str) -> str: ...
def other() -> None: ...
"""
    assert names(tools(tmp_path, text)) == ["basename", "Echo", "shout"]


def test_servers_of_tools_stand_among_the_tools_of_a_file(tmp_path: Path) -> None:
    """What a server offers is known when it is asked; nothing is started by looking for it."""
    text = """
from tagent import MCPServer
def fetch(url: str) -> str: ...
notes = MCPServer.stdio("notes-server")
_hidden = MCPServer.stdio("hidden-server")
def search(text: str) -> str: ...
same = notes
"""
    found = discover_tools(tools(tmp_path, text))
    assert [tool.name for tool in found if isinstance(tool, Tool | MCPServer)] == ["fetch", "notes-server", "search"]
    assert found[1] == MCPServer.stdio("notes-server")
    named = tools(tmp_path / "named", "from tagent import MCPServer\n__all__ = ['notes']\nnotes = MCPServer.stdio('n')")
    assert discover_tools(named) == (MCPServer.stdio("n"),)


def test_a_folder_is_searched_for_files_of_the_name_in_sorted_order(tmp_path: Path) -> None:
    """The same folder gives the same tools in the same order, on every machine."""
    for folder in ("b", "a/deep", ".hidden", "node_modules/x", "venv", "my-env", "__pycache__"):
        name = folder.replace("/", "_").replace("-", "_").strip("._")
        tools(tmp_path / folder, f"def {name}() -> None: ...")
    tools(tmp_path, "def root() -> None: ...")
    tools(tmp_path / "a", "raise LookupError('it is not named')", "tools.py")
    (tmp_path / "my-env" / "pyvenv.cfg").write_text("")
    assert names(tmp_path) == ["a_deep", "b", "root"]
    assert names(tmp_path / "a" / "deep") == ["a_deep"]
    assert names(tmp_path / ".hidden") == ["hidden"]


def test_links_in_a_circle_and_endless_folders_end_the_search(tmp_path: Path) -> None:
    """A file system may be stranger than a tree."""
    tools(tmp_path / "a", "def a() -> None: ...")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "tagent.output.py").symlink_to(tmp_path / "gone")
    tools(tmp_path / "/".join(["d"] * (DEEPEST + 1)), "def too_deep() -> None: ...")
    tools(tmp_path / "/".join(["d"] * DEEPEST), "def deep() -> None: ...")
    assert names(tmp_path) == ["a", "deep"]


def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tools are missing, and the user should know why. Root may read everything, so the refusal is made."""
    tools(tmp_path / "closed", "def closed() -> None: ...")
    listed = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with caplog.at_level(logging.WARNING, "tagent"):
        assert names(tmp_path) == []
    assert "closed is not searched for tools: Permission denied." in caplog.text


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("import nowhere_at_all", 1, ", line 1: ModuleNotFoundError: No module named 'nowhere_at_all'."),
        ("\ndef f(", 2, ", line 2: SyntaxError: "),
        ("\n\ndef f(*urls): ...", 3, ", line 3: 'f' is no tool: The tool 'f' has the parameter '*urls'"),
        ("__all__ = ['n']\nn = 1", None, ": 'n' is no tool: A tool must be a function, not int."),
        (
            "__all__ = ['fetsh']\ndef fetch(): ...",
            None,
            "names 'fetsh', which it does not define. Did you mean 'fetch'?",
        ),
        ("raise SystemExit", 1, ", line 1: SystemExit."),
        ("raise ValueError('No key.')", 1, ", line 1: ValueError: No key."),
        ("limit = 3\ndef _hidden(): ...", None, ": it defines no tools. Define public functions in it"),
        ("__all__ = []\ndef fetch(): ...", None, ": it defines no tools."),
    ],
)
def test_a_file_that_does_not_load_is_named_with_the_line_and_the_reason(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    """No traceback is needed to mend it."""
    file = tools(tmp_path, text)
    with pytest.raises(ToolLoadError) as raised:
        discover_tools(tmp_path)
    error = raised.value
    assert (error.file, error.line, error.code) == (str(file), line, "tool.load")
    assert str(error).startswith(str(file))
    assert message in str(error)
    assert ".." not in error.message


def test_two_tools_of_one_name_are_an_error_that_names_both_files(tmp_path: Path) -> None:
    """One of them would silently never be called."""
    one, two = (tools(tmp_path / name, "def fetch() -> None: ...") for name in ("a", "b"))
    with pytest.raises(ToolLoadError, match="'fetch'") as raised:
        discover_tools(tmp_path)
    assert str(one) in str(raised.value)
    assert str(two) in str(raised.value)


def test_what_is_not_there_is_an_error_and_an_empty_folder_has_no_tools(tmp_path: Path) -> None:
    """A misspelt path must not give an agent without tools."""
    with pytest.raises(ToolLoadError, match="there is no such file"):
        discover_tools(tmp_path / "tols.py")
    with pytest.raises(ToolLoadError, match="it is no Python file"):
        discover_tools(tools(tmp_path, "", "tools.txt"))
    assert discover_tools(tmp_path) == ()


OUTPUT = """
from dataclasses import dataclass
from pydantic import BaseModel

class Report(BaseModel):
    title: str

output_schema = Report
"""


def test_the_output_schema_of_a_file_or_folder_is_found(tmp_path: Path) -> None:
    """A Pydantic model, or any type."""
    schema = discover_output_schema(tools(tmp_path / "a", OUTPUT, "tagent.output.py"))
    assert getattr(schema, "__name__", "") == "Report"
    assert getattr(discover_output_schema(tmp_path), "__name__", "") == "Report"
    assert discover_output_schema(tools(tmp_path, "output_schema = list[int]", "any.py")) == list[int]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output_shema = list[int]", "it defines no 'output_schema'. Did you mean 'output_shema'?"),
        ("n = 1", "it defines no 'output_schema'. Assign a Pydantic model"),
        ("output_schema = {'type': 'object'}", "dict, is no type that Pydantic can check"),
        ("class Opaque: ...\noutput_schema = Opaque", "Opaque, is no type that Pydantic can check"),
        ("1 / 0", ", line 1: ZeroDivisionError: division by zero."),
    ],
)
def test_a_file_without_a_usable_schema_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    """It is found before any model is paid for."""
    file = tools(tmp_path, text, "tagent.output.py")
    with pytest.raises(ToolLoadError) as raised:
        discover_output_schema(tmp_path)
    assert raised.value.file == str(file)
    assert message in str(raised.value)


def test_there_is_exactly_one_schema_in_a_folder(tmp_path: Path) -> None:
    """Nobody can say which of two is meant."""
    with pytest.raises(ToolLoadError, match="there is no tagent.output.py in this folder or below"):
        discover_output_schema(tmp_path)
    one, two = (tools(tmp_path / name, OUTPUT, "tagent.output.py") for name in ("a", "b"))
    with pytest.raises(ToolLoadError) as raised:
        discover_output_schema(tmp_path)
    assert str(one) in str(raised.value)
    assert str(two) in str(raised.value)

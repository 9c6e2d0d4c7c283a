"""Real MCP servers, over stdio and over HTTP: what agents make of their tools, and of everything that goes wrong."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from agent_runs import call, services
from builders import Recorder
from crashes import Crash, CrashingStore, everybody_is_gone
from mcp_servers import SCRIPT, HttpServer, child, runs
from tagent import run_agent
from tagent.adapters.toolsets import provider
from tagent.adapters.toolsets.provider import AdapterToolsets
from tagent.config import TAgentConfig
from tagent.exceptions import MissingExtraError, ToolError
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor
from tagent.pipeline.events import AgentProgressed, StepCompleted
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.ports import ModelRequest
from tagent.ports.toolsets import MCPServer, RemoteTool, RemoteToolError, ToolsetUnavailableError
from tagent.task_agent.events import TaskCompleted, TaskFailed
from tagent.testing import ScriptedModel

Kind = TypeVar("Kind", TaskCompleted, TaskFailed)

PATIENCE_SECONDS = 60.0


@pytest.fixture
async def toolsets() -> AsyncIterator[AdapterToolsets]:
    async with AdapterToolsets() as opened:
        yield opened


@pytest.fixture(scope="module")
def web() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> MCPServer:
    if request.param == "stdio":
        return child()
    found: HttpServer = request.getfixturevalue("web")
    return found.at()


async def tools_of(toolsets: AdapterToolsets, server: MCPServer) -> dict[str, RemoteTool]:
    return {tool.name: tool for tool in await toolsets.tools_of(server)}


async def pid_of(tools: dict[str, RemoteTool]) -> int:
    return int(cast("dict[str, Any]", await tools["process"].call({}))["pid"])


# What a server offers, and what its tools return


async def test_tools_are_described_as_the_server_does(toolsets: AdapterToolsets, server: MCPServer) -> None:
    """A model plans from it."""
    note = (await tools_of(toolsets, server))["note"]
    assert note.description == "Return the note of a title."
    assert list(cast("dict[str, Any]", note.parameters_schema["properties"])) == ["title", "times"]
    assert note.output_schema is not None
    assert list(cast("dict[str, Any]", note.output_schema["properties"])) == ["title", "words"]


async def test_the_servers_hints_say_what_may_harm_when_done_twice(toolsets: AdapterToolsets) -> None:
    """The protocol takes a tool for destructive that says nothing of itself."""
    tools = await tools_of(toolsets, child())
    assert {name for name, tool in tools.items() if tool.may_harm_twice} == {"crash", "write"}


async def test_what_comes_back_is_json(toolsets: AdapterToolsets, server: MCPServer) -> None:
    """Structured content as it is, else the text; a picture is described."""
    tools = await tools_of(toolsets, server)
    assert await tools["note"].call({"title": "on tea"}) == {"title": "on tea", "words": 2}
    assert await tools["shout"].call({"text": "tea"}) == "TEA"
    assert await tools["picture"].call({}) == ["a dot", "[image image/png, 15 bytes]"]


async def test_an_error_of_a_tool_says_what_the_server_says(toolsets: AdapterToolsets, server: MCPServer) -> None:
    """The cause is what the next plan can work with."""
    tools = await tools_of(toolsets, server)
    with pytest.raises(RemoteToolError, match="out of order"):
        await tools["broken"].call({})
    assert await tools["shout"].call({"text": "on"}) == "ON"


async def test_a_server_gets_its_variables_and_its_folder(toolsets: AdapterToolsets, tmp_path: Path) -> None:
    """And nothing of this process but what every program needs."""
    tools = await tools_of(toolsets, child(env={"NOTES": "here"}, cwd=tmp_path))
    assert await tools["variables"].call({"name": "NOTES"}) == {"value": "here"}
    assert await tools["variables"].call({"name": "PYTEST_CURRENT_TEST"}) == {"value": ""}
    assert await tools["where"].call({}) == {"folder": str(tmp_path)}


async def test_headers_are_sent(toolsets: AdapterToolsets) -> None:
    """The key is how most servers know who asks."""
    with HttpServer(key="sesame-opens") as locked:
        allowed = locked.at(headers={"Authorization": "Bearer sesame-opens"})
        assert "note" in await tools_of(toolsets, allowed)
        with pytest.raises(ToolsetUnavailableError):
            await toolsets.tools_of(locked.at())


# One connection


async def test_all_share_one_connection(toolsets: AdapterToolsets) -> None:
    """Twenty steps at once start one process, also when it is not running yet."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(tools_of(toolsets, child())) for _ in range(20)]
    pids = {await pid_of(task.result()) for task in asked}
    assert len(pids) == 1


async def test_calls_go_on_at_the_same_time(toolsets: AdapterToolsets, server: MCPServer) -> None:
    """Independent tasks of a plan do not wait for each other: the quick one is back while the slow one works."""
    tools = await tools_of(toolsets, server)
    slow = asyncio.ensure_future(tools["slow"].call({"seconds": 600}))
    await tools["shout"].call({"text": "quick"})
    assert not slow.done()
    slow.cancel()


async def test_a_call_that_is_given_up_leaves_the_connection(toolsets: AdapterToolsets, server: MCPServer) -> None:
    """A timeout of one task must not fail the others."""
    tools = await tools_of(toolsets, server)
    before = await pid_of(tools)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await tools["slow"].call({"seconds": 600})
    assert await pid_of(tools) == before


async def test_nothing_is_left_at_the_end() -> None:
    """No process, no task, no thread, also when the end comes amid a call."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    pids: list[int] = []

    async def fail() -> None:
        async with AdapterToolsets() as toolsets:
            pids.append(await pid_of(await tools_of(toolsets, child())))
            raise KeyError

    with pytest.raises(KeyError):  # as it is, in no group
        await fail()
    assert not runs(pids[0])
    assert asyncio.all_tasks() == tasks
    assert {it for it in set(threading.enumerate()) - threads if not it.name.startswith("asyncio_")} == set()


async def test_a_cancelled_run_ends_its_servers() -> None:
    """Ctrl-C must not leave a process behind, not even one that is still starting."""
    pids: list[int] = []
    is_ready = asyncio.Event()

    async def work() -> None:
        async with AdapterToolsets() as toolsets:
            tools = await tools_of(toolsets, child())
            pids.append(await pid_of(tools))
            async with asyncio.TaskGroup() as group:
                group.create_task(tools["slow"].call({"seconds": 600}))  # type: ignore[arg-type]  # a coroutine
                group.create_task(toolsets.tools_of(sleeper(timeout_seconds=600)))
                is_ready.set()

    task = asyncio.ensure_future(work())
    await is_ready.wait()
    await asyncio.sleep(0.1)
    task.cancel()
    for _ in range(3):  # a second and a third Ctrl-C while it closes
        await asyncio.sleep(0.02)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not runs(pids[0])
    assert not sleepers()


def sleeper(**options: Any) -> MCPServer:
    """Return a program that never says anything; its name is found by `sleepers`."""
    return MCPServer.stdio(sys.executable, "-c", "import time; time.sleep(12345)", name="sleeper", **options)


def sleepers() -> list[str]:
    found = subprocess.run(["ps", "-eo", "stat,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if "time.sleep(12345)" in line and not line.startswith("Z")]


# What goes wrong


async def test_a_server_that_ends_amid_a_call_fails_that_call_alone(
    toolsets: AdapterToolsets, server: MCPServer
) -> None:
    """Whether it was done nobody knows, so it is not made again."""
    tools = await tools_of(toolsets, child())
    first = await pid_of(tools)
    with pytest.raises(ToolsetUnavailableError, match="went away while 'crash' was called"):
        await tools["crash"].call({})
    assert await pid_of(tools) != first
    assert not runs(first)


async def test_a_server_that_has_ended_meanwhile_is_started_again(toolsets: AdapterToolsets) -> None:
    """Nothing was asked of the one that is gone, so nothing fails."""
    tools = await tools_of(toolsets, child())
    first = await pid_of(tools)
    os.kill(first, signal.SIGKILL)
    await until(lambda: not runs(first) and all(it.has_ended for it in toolsets._connections.values()))
    assert await pid_of(tools) != first


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - a process tells nobody that it ends
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", ["http", "old-http"])
async def test_a_server_that_was_started_again_is_asked_again(toolsets: AdapterToolsets, mode: str) -> None:
    """It knows nothing of our session any more; with an older protocol it says so, and has done nothing."""
    with HttpServer(mode) as web:
        tools = await tools_of(toolsets, web.at())
        first = await pid_of(tools)
        web.restart()
        assert await pid_of(tools) != first
        web.stop()
        with pytest.raises(ToolsetUnavailableError):
            await tools["process"].call({})
        web.start()
        assert await pid_of(tools)


UNAVAILABLE: dict[str, tuple[Callable[[HttpServer], MCPServer], str]] = {
    "no such command": (lambda web: MCPServer.stdio("/no/such-server"), "command cannot be started"),
    "a program that ends": (lambda web: MCPServer.stdio(sys.executable, "-c", ""), "ended before it answered"),
    "a program that says something else": (
        lambda web: MCPServer.stdio(sys.executable, "-c", "print('hello')"),
        "ended before it answered",
    ),
    "a program that says nothing": (lambda web: sleeper(timeout_seconds=0.3), "did not answer within 0.3 s"),
    "no server": (lambda web: MCPServer.http("http://127.0.0.1:1/mcp"), "address cannot be reached"),
    "another path": (lambda web: web.at("/other"), "answers 'Not Found'"),
}


@pytest.mark.parametrize("case", UNAVAILABLE)
async def test_a_server_that_cannot_be_used_is_named_with_the_reason(
    toolsets: AdapterToolsets, web: HttpServer, case: str
) -> None:
    """Whoever set it up must see which one, and why."""
    made, reason = UNAVAILABLE[case]
    server = made(web)
    with pytest.raises(ToolsetUnavailableError, match=reason) as raised:
        await toolsets.tools_of(server)
    assert (raised.value.code, raised.value.is_retryable, raised.value.server) == (
        "toolset.unavailable",
        True,
        server.name,
    )
    await until(lambda: not sleepers())


async def test_a_server_that_ends_is_quoted(toolsets: AdapterToolsets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words say why: a module that is missing, a key that it was not given. They are the server's, and cut."""
    monkeypatch.setenv("NOTES_API_KEY", "sesame-opens")
    said = "import sys; sys.exit('first' + '!' * 9000 + ' sesame-opens, open-says-me\\nNo notes\\x1b[1m here.')"
    server = MCPServer.stdio(sys.executable, "-c", said, env={"NOTES": "open-says-me"})
    with pytest.raises(ToolsetUnavailableError) as raised:
        await toolsets.tools_of(server)
    assert "ended before it answered; it last said '...!!!" in raised.value.reason
    assert raised.value.reason.endswith("! ***, *** No notes\\x1b[1m here.'")
    assert len(raised.value.reason) < 600
    assert "first" not in raised.value.reason


async def test_a_server_may_say_what_it_likes_meanwhile(toolsets: AdapterToolsets) -> None:
    """It must not stand still because nobody reads."""
    said = "import runpy, sys; sys.stderr.write('!' * 1_000_000); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    server = MCPServer.stdio(sys.executable, "-c", said, SCRIPT, "stdio")
    assert await (await tools_of(toolsets, server))["shout"].call({"text": "on"}) == "ON"


async def test_a_child_of_a_server_does_not_hold_us_up(toolsets: AdapterToolsets, tmp_path: Path) -> None:
    """It may keep the standard error open for as long as it likes."""
    file = tmp_path / "pid"
    said = (
        "import os, pathlib, sys, time; os.fork() and os._exit(1); os.setsid(); os.close(1); "
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
    )
    try:
        with pytest.raises(ToolsetUnavailableError, match="ended before it answered"):
            await toolsets.tools_of(MCPServer.stdio(sys.executable, "-c", said, str(file)))
        await until(lambda: file.exists() and bool(file.read_text(encoding="utf-8")))
        pid = int(file.read_text(encoding="utf-8"))
        assert runs(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_an_absent_package_names_the_extra(toolsets: AdapterToolsets, monkeypatch: pytest.MonkeyPatch) -> None:
    """MCP is optional."""
    for name in [name for name in sys.modules if name == "mcp" or name.startswith("tagent.adapters.toolsets.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtraError, match=r"pip install tagent\[mcp\]"):
        await provider.AdapterToolsets.tools_of(toolsets, child())


async def test_secrets_reach_neither_logs_nor_errors(
    toolsets: AdapterToolsets, caplog: pytest.LogCaptureFixture
) -> None:
    """Of headers, of variables, and of what the server repeats of them."""
    caplog.set_level(logging.DEBUG)
    secret = "sesame-opens"  # noqa: S105 - made up
    with HttpServer(key=secret) as locked:
        away = MCPServer.http("http://127.0.0.1:1/mcp", headers={"Authorization": f"Bearer {secret}"})
        for server in (
            locked.at(f"/mcp?key={secret}", headers={"Authorization": f"Bearer {secret}"}),
            child(env={"NOTES_KEY": secret}),
        ):
            tools = await tools_of(toolsets, server)
            with pytest.raises(ToolError) as raised:
                await tools["broken"].call({"secret": secret})
            assert "out of order ***" in str(raised.value)
        with pytest.raises(ToolsetUnavailableError) as unavailable:
            await toolsets.tools_of(away)
    assert secret not in str(unavailable.value)
    assert secret not in caplog.text


# Agents and pipelines


def planned(*tasks: dict[str, Any]) -> Callable[[ModelRequest], object]:
    """Return a script that plans these tasks and answers with what they came to."""

    def entry(request: ModelRequest) -> object:
        return list(tasks) if request.purpose == "plan" else request.messages[-1].content

    return entry


def test_an_agent_uses_the_tools_of_a_server() -> None:
    """One of them feeds the other."""
    model = ScriptedModel(
        planned(
            call("notes_note", title="on green tea", times=2),
            call("notes_shout", text="{{tasks.0.output.title}}"),
        )
    )
    result = run_agent("Shout the title", model=model, tools=[child(prefix="notes")])
    assert [task.output for task in result.tasks] == [{"title": "on green tea", "words": 6}, "ON GREEN TEA"]
    assert result.goal_achieved


def progress(recorder: Recorder, kind: type[Kind]) -> list[Kind]:
    """Return what agents did of one kind."""
    found = (event.event for event in recorder.events if isinstance(event, AgentProgressed))
    return [event for event in found if isinstance(event, kind)]


async def test_steps_share_a_server_and_choose_among_its_tools(web: HttpServer) -> None:
    """A run has one connection to it; a step that may use one tool is told of no other."""
    model = ScriptedModel(planned(call("process")))
    server = child()
    pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT, config={"tools": [server]})
    for number in range(10):
        pipeline.step(f"s{number}", "Ask", tools_filter=["process"])
    pipeline.step("w", "Ask", tools=[web.at(include=["shout"], prefix="web")], tools_filter=["process", "web_shout"])
    recorder = Recorder()
    async with services() as opened:
        executor = PipelineExecutor(pipeline, {"model": model}, services=replace(opened, sinks=(recorder,)))
        result = await executor.execute()
    assert result.success
    outputs = [cast("dict[str, int]", event.output) for event in progress(recorder, TaskCompleted)]
    assert len({output["pid"] for output in outputs}) == 1
    assert max(output["calls"] for output in outputs) == 11
    prompts = [request.messages[0].content for request in model.requests if request.purpose == "plan"]
    assert not any("crash" in prompt for prompt in prompts)
    assert sum("web_shout" in prompt for prompt in prompts) == 1


async def test_a_crash_of_the_server_is_a_failed_task(web: HttpServer) -> None:
    """The agent plans again, with the cause before it, and reaches its goal all the same."""
    plans = iter([[call("crash")], [call("shout", text="still here")]])
    model = ScriptedModel(
        lambda request: next(plans) if request.purpose == "plan" else request.messages[-1].content,
    )
    pipeline = Pipeline("p").step("s", "Ask", tools=[child()], max_retries=0)
    recorder = Recorder()
    async with services() as opened:
        executor = PipelineExecutor(pipeline, {"model": model}, services=replace(opened, sinks=(recorder,)))
        result = await executor.execute()
    assert "STILL HERE" in result.final_output
    failed = progress(recorder, TaskFailed)
    assert "went away while 'crash' was called" in failed[0].message


async def test_a_call_that_takes_too_long_is_a_timeout() -> None:
    """As of any other tool, whether the limit is the server's or the agent's."""
    for settings, server in (
        ({"tool_timeout_seconds": 0.2}, child()),
        ({}, child(timeout_seconds=20, include=["slow"])),
    ):
        seconds = 600 if settings else 0
        model = ScriptedModel(planned(call("slow", seconds=seconds)))
        pipeline = Pipeline("p").step("s", "Ask", tools=[server], max_retries=0, config={"max_planning_cycles": 1})
        async with services() as opened:
            executor = PipelineExecutor(pipeline, {"model": model, **settings}, services=opened)
            result = await executor.execute()
        assert result.step_metadata["s"]["code"] == ("tool.timeout" if settings else "")


async def test_a_server_that_is_away_fails_its_step_with_its_code() -> None:
    """And it is tried again: a server may come back."""
    pipeline = Pipeline("p").step("s", "Ask", tools=[MCPServer.stdio("/no/such-server")], max_retries=1)
    async with services() as opened:
        result = await PipelineExecutor(pipeline, {"model": ScriptedModel()}, services=opened).execute()
    meta = result.step_metadata["s"]
    assert (meta["code"], meta["attempts"]) == ("toolset.unavailable", 2)


async def test_a_resumed_run_connects_anew_and_repeats_no_finished_call(tmp_path: Path) -> None:
    """Wherever the process ends: what was called and committed is not called again."""
    kept = 0
    for at in itertools.count(2):
        file = tmp_path / f"written-{at}"
        store = CrashingStore().arm(at)
        model = ScriptedModel(planned(call("write", path=str(file))))
        pipeline = Pipeline("p").step("s", "Write", tools=[child(side_effects=False)])
        async with services() as opened:
            mine = replace(opened, store=store, new_id=lambda: "run-1")
            with contextlib.suppress(Crash):
                await PipelineExecutor(pipeline, {"model": model}, services=mine).execute()
                break
        is_committed = any("TaskCompleted" in str(event) for event in await load_events(store, "run-1"))
        async with services() as opened:
            after = everybody_is_gone(replace(opened, store=store.arm(10**9)))
            result = await resume_run("run-1", after, TAgentConfig(model=model), pipeline=pipeline)
        assert result.success
        if is_committed:
            assert file.read_text(encoding="utf-8") == "written\n"
            kept += 1
    assert kept >= 2


async def test_an_answer_that_was_given_needs_no_server_any_more(tmp_path: Path) -> None:
    """The server may be gone for good when the run is taken up between the answer and the end of its step."""
    command = tmp_path / "server"
    program = f"#!/bin/sh\nexec {sys.executable} {SCRIPT} stdio\n"
    answered = 0
    for at in itertools.count(2):
        command.write_text(program, encoding="utf-8")
        command.chmod(0o700)
        store = CrashingStore().arm(at)
        model = ScriptedModel(planned(call("shout", text="tea")))
        pipeline = Pipeline("p").step("s", "Shout", tools=[MCPServer.stdio(str(command))], max_retries=0)
        async with services() as opened:
            mine = replace(opened, store=store, new_id=lambda: "run-1")
            with contextlib.suppress(Crash):
                assert (await PipelineExecutor(pipeline, {"model": model}, services=mine).execute()).success
                break
        command.unlink()
        events = await load_events(store, "run-1")
        is_answered = any("Finalized" in str(event) for event in events)
        async with services() as opened:
            after = everybody_is_gone(replace(opened, store=store.arm(10**9)))
            result = await resume_run("run-1", after, TAgentConfig(model=model), pipeline=pipeline)
        assert result.success == is_answered
        answered += is_answered and not any(isinstance(event, StepCompleted) for event in events)
    assert answered

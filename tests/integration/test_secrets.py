"""Keys and authorisation headers never come out: not in logs, events, errors, the journal or on the command line."""

import logging
from pathlib import Path

import pytest

from agent_runs import call
from commands import tagent
from endpoints import Endpoint, Reply, Reset, Response, answer, completion, failure
from model_calls import KEY, isolate
from tagent import run_agent
from tagent.exceptions import TAgentError
from tagent.pipeline import Pipeline
from tagent.pipeline.models import PipelineResult
from tagent.testing import ScriptedModel

TOKEN = "ghp_a1b2c3d4e5f6"  # noqa: S105
LEAKY = f"GET https://me:{KEY}@example.org failed; request headers: Authorization: Bearer {TOKEN}"

ENDINGS: dict[str, Response] = {
    "answers": answer("blue"),
    "refuses the key": failure(401, message=f"Incorrect API key provided: {KEY}"),
    "fails and repeats the request": Reply(f"<html>Authorization: Bearer {KEY}</html>", 500),
    "limits": failure(429, message=f"{KEY} is over its limit", headers={"Retry-After": "0"}),
    "answers what does not fit": completion(f'{{"out": "{KEY}"}}'),
    "breaks off": Reset(),
    "answers no JSON": Reply(f"key={KEY}"),
}


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine; a key in the environment, as people have it."""
    isolate(monkeypatch)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)


def lookup() -> str:
    """Look it up."""
    raise ConnectionError(LEAKY)


def texts_of(error: BaseException | None) -> str:
    """Return all that an error says, its causes and their traces' last words included."""
    told = ""
    while error is not None:
        told += f"{error!r} {error} {getattr(error, '__notes__', '')} {vars(error)}"
        error = error.__cause__ or error.__context__
    return told


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_key_comes_out_of_no_call(ending: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the provider says, and with every logger at its most talkative."""
    seen: list[object] = []
    with caplog.at_level(logging.DEBUG), Endpoint(ENDINGS[ending]) as endpoint:
        try:
            told = repr(
                run_agent("Name a colour", model="any", base_url=endpoint.base_url, api_key=KEY, on_event=seen.append)
            )
        except TAgentError as error:
            told = texts_of(error)
        assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
    for text in (told, repr(seen), caplog.text):
        assert KEY not in text


def test_a_key_in_the_words_of_a_tool_stays_inside(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Exceptions of clients love to repeat the request."""
    store = f"sqlite:///{tmp_path}/runs.db"
    seen: list[object] = []
    model = ScriptedModel([[call("lookup")], [], "gave up"])
    with caplog.at_level(logging.DEBUG):
        result = run_agent("Find it", model=model, api_key=KEY, tools=[lookup], on_event=seen.append)
        pipeline = Pipeline("p", config={"api_key": KEY})
        pipeline.step("broken", run=lookup, max_retries=0).step("agent", "Find it", tools=[lookup])
        ran = run_agent(pipeline, model=ScriptedModel([[call("lookup")]] * 3), store=store)
    assert isinstance(ran, PipelineResult)
    assert "raised ConnectionError: GET https://" in result.tasks[0].error
    assert "Authorization: ***" in result.tasks[0].error
    assert "ConnectionError" in str(ran.step_metadata["broken"]["reason"])
    journal = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    prompts = repr(model.requests)
    for text in (repr(result), repr(ran), repr(seen), caplog.text, prompts, journal.decode("utf-8", "replace")):
        assert KEY not in text
        assert TOKEN not in text


def test_a_key_is_not_shown_on_the_command_line(tmp_path: Path) -> None:
    """Not even with --verbose, which shows tracebacks."""
    with Endpoint(ENDINGS["refuses the key"]) as endpoint:
        ran = tagent(
            "run",
            "Name a colour",
            "--verbose",
            cwd=tmp_path,
            env={"TAGENT_MODEL": "any", "TAGENT_BASE_URL": endpoint.base_url, "TAGENT_API_KEY": KEY},
        )
    assert "refuses the key" in ran.stderr
    assert KEY not in ran.stdout + ran.stderr


def test_a_password_in_an_address_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP client tells of every request, address and all."""
    with caplog.at_level(logging.DEBUG), Endpoint(answer("blue")) as endpoint:
        address = endpoint.base_url.replace("://", f"://user:{KEY}@")
        run_agent("Name a colour", model="any", base_url=address, api_key="another-key")
    assert "HTTP Request" in caplog.text
    assert KEY not in caplog.text

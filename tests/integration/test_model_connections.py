"""HTTP clients: one for all users of an event loop, and none when they are gone."""

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import httpx2
import pytest

from endpoints import Endpoint, Silence, Slow, answer
from model_calls import Colour, Running, ask, config_for, isolate
from tagent import TAgentConfig
from tagent.adapters.models import connections
from tagent.adapters.models.provider import AdapterModels

AGENTS = 200


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no waiting."""
    isolate(monkeypatch)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[httpx2.AsyncClient]:
    """The HTTP clients that were made."""
    made: list[httpx2.AsyncClient] = []

    class Client(httpx2.AsyncClient):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)  # type: ignore[arg-type]  # passed on
            made.append(self)

    monkeypatch.setattr(httpx2, "AsyncClient", Client)
    return made


async def test_many_agents_share_one_client(clients: list[httpx2.AsyncClient]) -> None:
    """Each has its own services, and all of them the same pool; none waits for a connection."""
    before = Running.now()
    with Endpoint(Slow(answer("blue"), 0.2)) as endpoint:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(config_for(endpoint))) for _ in range(AGENTS)]
        assert endpoint.all_closed()
        assert all(task.result().output == Colour(output="blue") for task in asking)
        assert endpoint.most_answering > 100  # httpx2's own limit
    assert len(clients) == 1
    assert clients[0].is_closed
    assert Running.now() == before


async def test_connections_are_used_again(clients: list[httpx2.AsyncClient]) -> None:
    """One handshake, however many questions, while anybody on the loop is there."""
    with Endpoint(answer("blue")) as endpoint:
        async with AdapterModels() as first:
            await first.model_for(config_for(endpoint))
            for temperature in (0, 0.5, 1):  # other settings, the same connections
                await ask(config_for(endpoint, temperature=temperature))
        assert endpoint.accepted == 1
        assert endpoint.all_closed()
    assert len(clients) == 1


async def test_another_key_has_another_client(clients: list[httpx2.AsyncClient]) -> None:
    """Cookies and connections of one account are not another's."""
    with Endpoint(answer("blue")) as endpoint:
        async with AsyncExitStack() as stack:
            models = await stack.enter_async_context(AdapterModels())
            for key in ("one", "other"):
                await models.model_for(config_for(endpoint, api_key=key))
    assert len(clients) == 2


async def test_the_last_user_closes(clients: list[httpx2.AsyncClient]) -> None:
    """Not the first one to leave, on whom others may depend."""
    with Endpoint(answer("blue")) as endpoint:
        async with AdapterModels() as last:
            model = await last.model_for(config_for(endpoint))
            await ask(config_for(endpoint))
            assert [client.is_closed for client in clients] == [False]
            assert model is await last.model_for(config_for(endpoint))
        assert [client.is_closed for client in clients] == [True]
        await ask(config_for(endpoint))
    assert len(clients) == 2


async def test_a_provider_s_own_models_share_too(
    clients: list[httpx2.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only endpoints that are given by address."""
    monkeypatch.setenv("DEEPSEEK_API_KEY", "key")
    async with AdapterModels() as first, AdapterModels() as second:
        for models in (first, second):
            await models.model_for(TAgentConfig(model="deepseek:deepseek-chat"))
            await models.model_for(TAgentConfig(model="deepseek:deepseek-reasoner", temperature=1))
    assert len(clients) == 1
    assert clients[0].is_closed


def test_threads_with_loops_of_their_own_leave_nothing(clients: list[httpx2.AsyncClient]) -> None:
    """A client of one loop used on another fails now and then; one that stays behind leaks."""
    with Endpoint(answer("blue")) as endpoint:
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: asyncio.run(ask(config_for(endpoint))), range(40)))
        assert endpoint.all_closed()
    assert all(reply.output == Colour(output="blue") for reply in replies)
    assert all(client.is_closed for client in clients)
    assert connections._by_loop == {}


def test_a_program_that_is_interrupted_leaves_nothing(clients: list[httpx2.AsyncClient]) -> None:
    """`asyncio.run` cancels what still waits: connections close, also those in use."""
    with Endpoint(Silence()) as endpoint:

        async def leave_early() -> None:
            asking = asyncio.ensure_future(ask(config_for(endpoint)))
            await asyncio.to_thread(endpoint.asked.wait, 30)
            assert not asking.done()

        for _ in range(3):
            endpoint.asked.clear()
            asyncio.run(leave_early())
        assert endpoint.all_closed()
    assert all(client.is_closed for client in clients)
    assert connections._by_loop == {}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the loop that this test closes by force
def test_a_loop_that_is_closed_by_force_is_forgotten() -> None:
    """Whoever comes next clears up what can be cleared up."""
    loop = asyncio.new_event_loop()
    models = AdapterModels()
    with Endpoint(answer("blue")) as endpoint:
        loop.run_until_complete(models.model_for(config_for(endpoint)))
        loop.close()
        asyncio.run(ask(config_for(endpoint)))
        assert connections._by_loop == {}
        del models
        gc.collect()
        assert endpoint.all_closed()

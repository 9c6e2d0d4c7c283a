"""Those who say yes or no in a generated run, as its plan has it: while it is driven, or once it waits for them."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from pydantic_core import from_json, to_json

from property.flow_plans import ApprovalPlan
from property.flow_values import EDITED
from property.flow_world import World
from tagent.ports import Store
from tagent.ports.documents import DocumentQuery, Put
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects

SCOPE = "approvals"


class People:
    """Everybody whom a run may ask. They outlive its processes.

    Args:
        world: Where they live.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._thinking: set[asyncio.Task[None]] = set()

    def look(self, effects: Effects, store: Store) -> None:
        """Have everybody think it over who is asked something in what was just written."""
        for put in effects.puts:
            if put.scope == SCOPE and put.value is not None:
                task = asyncio.get_running_loop().create_task(self._answer(put.key, store))
                self._thinking.add(task)
                task.add_done_callback(self._thinking.discard)

    async def answer_all(self, store: Store) -> None:
        """Answer all that is open, and let time pass for what nobody answers."""
        for document in await store.documents(DocumentQuery(SCOPE, limit=1000)):
            await self._answer(document.key, store)
        if any(self.plan_of(key).answer == "late" for key in await _keys(store)):
            self._world.clock.advance(10.0)

    async def answer_some(self, store: Store, which: slice) -> None:
        """Answer at once some of what is open."""
        for document in (await store.documents(DocumentQuery(SCOPE, limit=1000)))[which]:
            await self._answer(document.key, store, is_at_once=True)

    async def answered(self, store: Store) -> list[str]:
        """Return the keys of the questions that somebody has answered, and the run has not heard yet."""
        documents = await store.documents(DocumentQuery(SCOPE, limit=1000))
        return [document.key for document in documents if from_json(document.value)["answer"] is not None]

    async def _answer(self, key: str, store: Store, *, is_at_once: bool = False) -> None:
        plan = self.plan_of(key)
        if plan.answer == "late":
            return
        if plan.seconds and not is_at_once:
            await self._world.clock.sleep(plan.seconds)
        document = await store.document(SCOPE, key)
        if document is None or (told := from_json(document.value))["answer"] is not None:
            return
        is_edited = plan.answer == "edit"
        answer = {
            "is_approved": plan.answer != "no",
            "actor": "ana@desk",
            "comment": "So be it.",
            "at": self._world.clock.now(),
            "is_edited": is_edited,
            "output": EDITED if is_edited else None,
        }
        content = to_json({**told, "answer": answer})
        with suppress(DocumentConflictError):  # somebody else, or the clock, was faster
            await store.write(Effects(puts=(Put(SCOPE, key, content, expected_version=document.version),)))

    def plan_of(self, key: str) -> ApprovalPlan:
        """Return what is said about the step that a document asks about."""
        names = [name for name in key.split("/") if name in self._world.known]
        flow, place = self._world.known[names[-1]]
        approval = flow.steps[place].approval
        assert approval is not None
        return approval


async def _keys(store: Store) -> Iterable[str]:
    return [document.key for document in await store.documents(DocumentQuery(SCOPE, limit=1000))]

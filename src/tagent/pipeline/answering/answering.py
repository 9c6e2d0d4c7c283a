"""Answering an approval from anywhere: one write decides which of several answers counts."""

from collections.abc import Sequence
from functools import partial

from tagent.exceptions import ConfigurationError
from tagent.pipeline.answering.documents import (
    SCOPE,
    Answer,
    ApprovalDocument,
    OpenApproval,
    key_of,
    read,
    written,
)
from tagent.pipeline.answering.editing import checked_output
from tagent.pipeline.answering.errors import ApprovalAnsweredError, ApprovalNotOpenError, ApprovalOutputError
from tagent.pipeline.answering.going_on import GoesOn, who_goes_on
from tagent.pipeline.answering.requests import as_asked, last_answer, last_request, open_requests
from tagent.pipeline.journal.live_runs import done_at_home, done_in_every_live_store
from tagent.pipeline.journal.loading import StoredRun, stored_run
from tagent.pipeline.journal.paging import every_document
from tagent.pipeline.models import Pipeline
from tagent.ports.documents import DocumentQuery, version_of
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects
from tagent.ports.services import Services
from tagent.values import UNEDITED, value

MOST_TRIES = 20
"""How often an answer is written anew because the document has changed and is open all the same."""


@value
class AnsweredApproval:
    """An answer that counts, and who goes on with the run.

    Attributes:
        run_id: The run.
        step: The step; one inside another by its path, `outer/inner`.
        is_approved: What the answer was.
        actor: Who gave it.
        at: When, in seconds since 1970-01-01 UTC.
        comment: What he said with it.
        is_edited: Whether another output counts than the step gave.
        goes_on: Who goes on with the run.

    Example:
        >>> AnsweredApproval("1f2e", "refund", True, "ana@desk", 0.0, "", False, GoesOn("nobody")).goes_on.by
        'nobody'
    """

    run_id: str
    step: str
    is_approved: bool
    actor: str
    at: float
    comment: str
    is_edited: bool
    goes_on: GoesOn


async def answer_approval(
    run_id: str,
    step: str,
    services: Services,
    *,
    is_approved: bool,
    comment: str = "",
    actor: str = "",
    output: object = UNEDITED,
    pipeline: Pipeline | None = None,
) -> AnsweredApproval:
    """Say yes or no to what a step waits for; when this returns, that is durable.

    Args:
        run_id: The run.
        step: The step; one inside another by its path, `outer/inner`.
        services: Where the run is kept. Of a store in memory, runs that are driven in this process are found too.
        is_approved: The answer.
        comment: Why, for people; it stays with the run.
        actor: Who answers; empty for the user of this process.
        output: What counts instead of what the step gave.
        pipeline: The code, to check `output`; None loads it from where the run remembers it came from.

    Raises:
        UnknownRunError: If no run has this id.
        ApprovalNotOpenError: If nobody is asked about this step.
        ApprovalAnsweredError: If somebody was faster, or the time was over.
        ApprovalOutputError: If this output cannot be edited.
        StepOutputError: If the output does not fit the type of the step; nothing is written.
        NoPipelineError: If an output is given, the pipeline was built in code, and is not given.
        PipelineLoadError: If its file does not give it any more.
        PayloadError: If what is said or the output cannot be kept, or is too large; nothing is written.
        ConfigurationError: If the run or the step is not named by a text.
        StoreError: If the store fails.
    """
    for what, named in (("run", run_id), ("step", step)):
        _require_text(named, what)
    work = partial(_answer, run_id, step, is_approved, comment or "", actor, output, pipeline)
    return await done_at_home(run_id, services, work)


async def open_approvals(services: Services, run_id: str | None = None) -> tuple[OpenApproval, ...]:
    """Return what somebody is asked and has not answered, what has waited longest first.

    Args:
        services: Where the runs are kept. Of a store in memory, runs that are driven in this process are found too.
        run_id: Only of this run; None for all.

    Raises:
        UnknownRunError: If no run has this id.
        StoreError: If the store fails.
    """
    return tuple(it.approval for it in await approval_documents(services, run_id) if it.answer is None)


async def approval_documents(services: Services, run_id: str | None = None) -> tuple[ApprovalDocument, ...]:
    """Return what somebody is asked, with the answers that the runs have not taken up, what has waited longest first.

    Args:
        services: As for `open_approvals`.
        run_id: Only of this run; None for all.

    Raises:
        UnknownRunError: If no run has this id.
        StoreError: If the store fails.
    """
    if run_id is not None:
        found = list(await done_at_home(run_id, services, partial(_of_run, run_id)))
    else:
        elsewhere = await done_in_every_live_store(services, _in_store)
        found = [it for of_store in (await _in_store(services), *elsewhere) for it in of_store]
    return tuple(sorted(found, key=lambda it: (it.approval.at, it.approval.run_id, it.approval.step)))


def _require_text(named: object, what: str) -> None:
    if not isinstance(named, str):
        raise ConfigurationError(f"The {what} of an answer is named by a text, and not by {type(named).__name__}.")


async def _of_run(run_id: str, services: Services) -> Sequence[ApprovalDocument]:
    await services.store.run(run_id)  # one that nobody knows waits for nothing, but that is a mistake
    return await _in_store(services, prefix=key_of(run_id, ""))


async def _in_store(services: Services, prefix: str = "") -> Sequence[ApprovalDocument]:
    documents = [read(it) async for it in every_document(services.store, DocumentQuery(SCOPE, prefix))]
    return [it for it in documents if it is not None]


async def _answer(
    run_id: str,
    path: str,
    is_approved: bool,  # noqa: FBT001 - partial gives it
    comment: str,
    actor: str,
    output: object,
    pipeline: Pipeline | None,
    services: Services,
) -> AnsweredApproval:
    is_edited = output is not UNEDITED
    plain: object = None
    is_checked = False
    for tries_left in reversed(range(MOST_TRIES)):
        owner = (await services.store.run(run_id)).owner  # of one that nobody knows there is no journal either
        approval, version = await _asked(run_id, path, services)
        if is_edited and approval.of != "output":
            raise ApprovalOutputError(run_id, path, "It is asked about before it starts: there is no output yet.")
        if is_edited and not is_checked:  # once: it may take long, and somebody else may answer meanwhile
            plain = await checked_output(output, run_id, path, services, pipeline=pipeline)
            is_checked = True
        at = services.clock.now()
        answer = Answer(is_approved, actor or services.processes.user(), at, comment, is_edited, plain)
        try:
            await services.store.write(Effects(puts=(written(approval, answer, expected_version=version),)))
        except DocumentConflictError:  # somebody has answered, or it is asked anew
            if not tries_left:
                raise
            continue
        goes_on = await who_goes_on(run_id, services, driven_by=owner)
        return AnsweredApproval(run_id, path, is_approved, answer.actor, at, comment, is_edited, goes_on)
    raise AssertionError  # the last try returns or raises


async def _asked(run_id: str, path: str, services: Services) -> tuple[OpenApproval, int]:
    """Return what is asked about a step, and the version of its document, 0 if there is none.

    Raises:
        ApprovalNotOpenError: If nothing is.
        ApprovalAnsweredError: If that is answered.
    """
    document = await services.store.document(SCOPE, key_of(run_id, path))
    stored = await stored_run(services.store, run_id)
    found, version = None if document is None else read(document), version_of(document)
    if found is not None and found.answer is None:
        newest = last_request(stored.events, path)
        if newest is not None and newest.at == found.approval.at:  # it is there as long as nothing has settled it
            return found.approval, version
    asked = _asked_by_journal(run_id, path, stored)
    if found is None or found.approval.at != asked.at:  # it is damaged, of another question, or a fork has none yet
        return asked, version
    if found.answer is not None:
        raise _answered(found, found.answer, goes_on=await who_goes_on(run_id, services))
    return found.approval, version


def _answered(document: ApprovalDocument, answer: Answer, *, goes_on: GoesOn) -> ApprovalAnsweredError:
    return ApprovalAnsweredError(
        document.approval.run_id,
        document.approval.step,
        is_approved=answer.is_approved,
        actor=answer.actor,
        at=answer.at,
        comment=answer.comment,
        goes_on=goes_on,
    )


def _asked_by_journal(run_id: str, path: str, stored: StoredRun) -> OpenApproval:
    """Return what is asked about a step, by the run's journal.

    Raises:
        ApprovalNotOpenError: If nothing is.
        ApprovalAnsweredError: If that is answered.
    """
    state = stored.state()
    requests = open_requests(state)
    if path in requests:
        return as_asked(run_id, state.pipeline, path, requests[path])
    answered = last_answer(stored.events, path)
    if answered is not None:
        raise ApprovalAnsweredError(
            run_id,
            path,
            is_approved=answered.is_approved,
            actor=answered.actor,
            at=answered.given_at,
            comment=answered.comment,
        )
    raise ApprovalNotOpenError(run_id, path, open=tuple(requests), status=state.status if state.is_finished else "")

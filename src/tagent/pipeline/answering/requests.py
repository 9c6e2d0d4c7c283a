"""What is asked in a run, by what is known of it: the truth, where a document is missing or damaged."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic_core import to_json

from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline.answering.documents import OpenApproval
from tagent.pipeline.course.records import WorkRecord
from tagent.pipeline.events import ApprovalAnswered, ApprovalRequested, RunEvent, innermost
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.placeholders import replaced
from tagent.pipeline.state import PipelineState

LONGEST_SHOWN_VALUE = 500
"""Characters of a value in a question."""

LONGEST_SHOWN_OUTPUT = 20_000
"""Characters of an output that whoever is asked is shown; whoever wants more reads the journal."""


def question_for(question: str, known: Mapping[str, object]) -> str:
    """Return a question with the placeholders replaced that `known` has; what leads nowhere stays as it is.

    Example:
        >>> question_for("Refund {order.amount} EUR? {why}", {"order": {"amount": 40}})
        'Refund 40 EUR? {why}'
        >>> question_for("Note: {note}", {"note": ""})
        'Note: '
    """

    def shown(path: DataPath, _: str) -> str | None:
        try:
            found = path.look_up(known)
        except DataPathError:
            return None
        told = found if isinstance(found, str) else to_json(found, fallback=str).decode()
        return told if len(told) <= LONGEST_SHOWN_VALUE else f"{told[:LONGEST_SHOWN_VALUE]}..."

    return replaced(question, known, shown)


def as_asked(run_id: str, pipeline: str, path: str, request: ApprovalRequested) -> OpenApproval:
    """Return what somebody is asked about a step, of a large output its beginning.

    Args:
        run_id: The outermost run.
        pipeline: The name of its pipeline.
        path: The step's path, as in `open_requests`.
        request: What was asked.

    Example:
        >>> request = ApprovalRequested("refund", "output", 1, "Right?", at=0.0, output={"amount": 40})
        >>> as_asked("1f2e", "refunds", "outer/2/refund", request).output
        {'amount': 40}
    """
    output = request.output.excerpt if isinstance(request.output, StoredOutput) else request.output
    if len(told := to_json(output, fallback=str).decode()) > LONGEST_SHOWN_OUTPUT:
        output = told[:LONGEST_SHOWN_OUTPUT]
    of, question, default = request.of, request.question, request.default
    return OpenApproval(run_id, pipeline, path, of, question, request.at, request.due_at, default, output)


def open_requests(state: PipelineState) -> dict[str, ApprovalRequested]:
    """Return what is asked and not answered: path of the step -> what was asked about it.

    The path of a step inside another one is `outer/inner`, in an item or a round of that `outer/2/inner`.
    """
    return dict(_open(state, within=""))


def _open(state: PipelineState, *, within: str) -> Iterator[tuple[str, ApprovalRequested]]:
    if state.is_finished:
        return
    for name, asked in state.asked.items():
        yield f"{within}{name}", asked
    for path, record in _works_with_inner(state):
        if record.inner is not None:
            yield from _open(record.inner, within=f"{within}{path}/")


def _works_with_inner(state: PipelineState) -> Iterator[tuple[str, WorkRecord]]:
    for name, record in state.steps.items():
        if state.statuses[name].is_terminal:
            continue
        yield name, record
        for part, of_part in record.parts.items():
            if not of_part.status.is_terminal:
                yield f"{name}/{part}", of_part


def last_answer(events: Sequence[RunEvent], path: str) -> ApprovalAnswered | None:
    """Return the newest answer about a step in a run's journal; None if there is none.

    Args:
        events: The run's events, in order.
        path: The step's path, as in `open_requests`.
    """
    for event in reversed(events):
        where, inside = innermost(event)
        if isinstance(inside, ApprovalAnswered) and f"{where}{inside.step}" == path:
            return inside
    return None


def last_request(events: Sequence[RunEvent], path: str) -> ApprovalRequested | None:
    """Return the newest question about a step in a run's journal; None if there is none."""
    for event in reversed(events):
        where, inside = innermost(event)
        if isinstance(inside, ApprovalRequested) and f"{where}{inside.step}" == path:
            return inside
    return None

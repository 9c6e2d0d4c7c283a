"""A letter to a customer: somebody has to say yes before money is paid, and may change the letter before it is sent.

    tagent run examples/approval.py                                   # it waits, and says how to go on
    tagent runs approvals                                             # what is asked
    tagent runs approve RUN_ID refund --comment "He is right." --resume
    tagent runs approve RUN_ID letter --output '"Dear Ana, the money is on its way."' --resume
    tagent runs reject RUN_ID refund --comment "Ask him for the receipt." --resume    # then a letter says no

    python examples/approval.py                                       # the same in code, from beginning to end

All steps are functions, so that it runs without a key.
"""

from pydantic import BaseModel

from tagent import approvals, approve, resume, run_pipeline
from tagent.pipeline import Approval, Pipeline, StepContext


class ClaimInputs(BaseModel):
    """What a customer wants."""

    customer: str = "Ana"
    amount: float = 40.0


def check(customer: str, amount: float) -> dict[str, object]:
    """Return the claim as somebody sees it who decides about it."""
    return {"customer": customer, "amount": amount, "orders": 7}


def pay(check: dict[str, object], context: StepContext) -> str:
    """Pay the money back; by the key a bank knows a call that is made again after a crash."""
    return f"EUR {check['amount']:.2f} paid to {check['customer']}, reference {context.idempotency_key}"


def no_payment(check: dict[str, object]) -> str:
    """Return what counts when the payment is refused."""
    return f"nothing paid to {check['customer']}"


def write(refund: str) -> str:
    """Return a letter that nobody has read yet."""
    return f"Dear customer, {refund}."


def send(letter: str) -> str:
    """Send it."""
    return f"sent: {letter}"


pipeline = (
    Pipeline("claim", "A customer wants his money back", inputs=ClaimInputs)
    .step("check", run=check)
    .step(  # nothing is paid before somebody says so; if nobody does within a day, nothing is
        "refund",
        run=pay,
        approval=Approval(
            question="Pay EUR {check.amount} to {check.customer}, who has ordered {check.orders} times?",
            timeout=24 * 3600,
        ),
        on_error="no_payment",
        max_retries=0,
    )
    .step("no_payment", run=no_payment)
    .step(  # whoever reads it may change it
        "letter", run=write, approval=Approval(of="output", question="Shall this letter to {customer} be sent?")
    )
    .step("send", run=send)
)

if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        store = {"store": f"file:///{folder}"}
        waiting = run_pipeline(pipeline, store)
        for asked in approvals(waiting.run_id, store):
            print(f"{asked.step}: {asked.question}")
        answered = approve(waiting.run_id, "refund", store, comment="He is right.")
        print(f"Who goes on: {answered.goes_on.by}")
        waiting = resume(waiting.run_id, pipeline, store)
        for asked in approvals(waiting.run_id, store):
            print(f"{asked.step}: {asked.question} {asked.output}")
        approve(waiting.run_id, "letter", store, output="Dear Ana, the money is on its way.", pipeline=pipeline)
        print(resume(waiting.run_id, pipeline, store).final_output)

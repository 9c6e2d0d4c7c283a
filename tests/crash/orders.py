"""What a victim is told to do."""

from dataclasses import dataclass
from typing import Literal

from crash.effects import Manner
from tagent.adapters.storage.sql.sqlite import BUSY_SECONDS
from tagent.pipeline.journal.patience import PATIENCE_SECONDS

Deed = Literal["drive", "cancel", "read"]
"""What a victim does with a run: start it or go on with it, end it from outside, or say what it has come to."""

PIPELINE = "victim_pipeline.py"


@dataclass(frozen=True)
class Orders:
    """What a victim is to do.

    Attributes:
        folder: Where its case keeps its files.
        store: The URL of its store.
        run_id: The run to resume; empty to start one.
        pipeline: The file beside this one in which the pipeline is.
        deed: What it does.
        point: The crash point that is armed; empty for none.
        passing: At which passing it kills, from 1.
        manner: What happens there.
        hold: The step in which it waits until the file `open` is there.
        lease_seconds: The lease of its claim.
        renews_often: Renew the claim every 5 ms.
        patience_seconds: How long it waits for a store that cannot be written.
        busy_seconds: How long a write waits for whoever keeps others from writing; Redis knows nobody like that.
        full_after: Behind this many commits the disk is full, until the file `room` is there; 0 for never.
        loses_reply_of: The number of the commit whose answer never arrives; 0 for none.
        starts_when: The file for which it waits, after it has made `PID.ready`; empty for none.
    """

    folder: str
    store: str
    run_id: str = ""
    pipeline: str = PIPELINE
    deed: Deed = "drive"
    point: str = ""
    passing: int = 1
    manner: Manner = "at once"
    hold: str = ""
    lease_seconds: float = 15.0
    renews_often: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    busy_seconds: float = BUSY_SECONDS
    full_after: int = 0
    loses_reply_of: int = 0
    starts_when: str = ""


def server_side_name(pid: int) -> str:
    """Return what PostgreSQL calls the connections of the victim with this id."""
    return f"victim-{pid}"

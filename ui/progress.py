"""The progress table over everything there is, asked of the server in a few small calls, however much there is."""

from typing import TYPE_CHECKING

from retain.values import Domain
from ui.client.views import Run
from ui.render.progress_table import ProgressRow, StageCount, of_counts

if TYPE_CHECKING:
    from ui.client.client import RetainClient

GOING = ("PENDING", "RUNNING", "SUSPENDED")
LOOKED_AT = 200  # of the runs that continue; those in a stage are as many as the installation has slots for
USABLE = ("LIVE", "ACCEPTED")
KINDS = (
    ("PRETRAIN", "", ("pretrain", "imported")),
    *(("MIDTRAIN", str(one), (f"midtrain/{one.lower()}",)) for one in Domain if one is not Domain.UNSPECIFIED),
    ("FINETUNE", "", ("finetune",)),
)


def of_house(client: "RetainClient", *, project: str = "") -> tuple[list[ProgressRow], list[Run]]:
    """The table (of a project), and the runs that continue. Raises ClientError."""
    moving = client.list_runs(states=("RUNNING", "SUSPENDED"), limit=LOOKED_AT, project=project)
    runs = [*moving, *client.list_runs(states=("PENDING",), limit=LOOKED_AT, project=project)]
    counts, imported = [], False
    for kind, domain, names in KINDS:
        found = {name: client.checkpoints_page(stage=name, states=USABLE, size=1, project=project) for name in names}
        newest = [page.rows[0] for page in found.values() if page.rows]
        if not newest:
            continue
        imported = imported or bool(found.get("imported") and found["imported"].rows)
        accepted = any(one.state == "ACCEPTED" for one in newest) or any(
            client.checkpoints_page(stage=name, states=("ACCEPTED",), size=1, project=project).rows for name in names
        )
        latest = max(newest, key=lambda one: one.create_time_s or 0.0)
        usable = sum(page.total or 0 for page in found.values())
        counts.append(StageCount(kind=kind, domain=domain, usable=usable, latest=latest.id, accepted=accepted))
    return of_counts(counts, runs, imported=imported), runs

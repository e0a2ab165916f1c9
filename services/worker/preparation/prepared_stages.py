"""What preparing made, as the orchestrator is told it: by stage, with the shards and sets of each role."""

from collections.abc import Iterable
from typing import Any

from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.types.v1 import values_pb2


def first_sources(work: control_pb2.PrepareWork) -> dict[str, int]:
    """For every role, the place of the first stage that names a source for it; a stage's target before its replays."""
    found: dict[str, int] = {}
    for stage in work.stages:
        for role in sorted(stage.sources, key=lambda name: (name != stage.target, name)):
            found.setdefault(role, stage.index)
    return found


def prepared_stage(
    stage: control_pb2.PrepareStage, records: dict[tuple[int, str], dict[str, Any]], first: dict[str, int]
) -> control_pb2.PreparedStage:
    """One stage: its own shard of each role, and the sets of the stage that named the role first.

    records: what was made, by stage and role; first: for every role the stage that named it first.
    """
    made = control_pb2.PreparedStage(index=stage.index)
    for role in sorted(stage.sources):
        own, frozen = records[stage.index, role], records[first[role], role]
        made.shards.add(
            name=role,
            uri=own["uri"],
            digest=own["digest"],
            tokens=own["tokens"],
            loss_tokens=own["loss_tokens"],
            documents=own["documents"],
            left_out=own["left_out"],
        )
        target = values_pb2.SET_ROLE_TARGET if role == stage.target else values_pb2.SET_ROLE_RETENTION
        for part, use in (("control", values_pb2.SET_USE_CONTROL), ("report", values_pb2.SET_USE_REPORT)):
            if part in frozen["sets"]:
                digest, uri = frozen["sets"][part]
                made.sets.add(name=role, uri=uri, digest=digest, role=target, use=use)
    return made


def share_of_sets(records: Iterable[dict[str, Any]], which: str) -> dict[str, float]:
    """Of each evaluation set, the share of its documents that stands in any of the run's training texts."""
    documents: dict[str, int] = {}
    found: dict[str, set[int]] = {}
    for record in records:
        for name, facts in record["overlap"].items():
            documents[name] = facts["documents"]
            found.setdefault(name, set()).update(facts[which])
    return {name: len(found[name]) / count for name, count in documents.items() if count}

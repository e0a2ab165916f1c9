"""Smart locking: a stage needs what it builds on. What is missing is named together with what would unlock it."""

from retain.values import PipelineSpec, StageKind


def missing_base(spec: PipelineSpec, *, base_kind: StageKind | None) -> str | None:
    """Why the first stage of a spec is locked, or None when it is not.

    `base_kind` is the kind of stage that made the checkpoint the spec builds on: PRETRAIN for an imported model, None
    for random weights.
    """
    if not spec.stages:
        return None
    first = spec.stages[0]
    if base_kind is None and first.kind is StageKind.MIDTRAIN:
        return (
            f"stages[0] ({first.name}) needs a base model; a PRETRAIN stage before it, model.checkpoint (an accepted "
            "checkpoint of another run) or model.huggingface (an imported model) unlocks it"
        )
    if base_kind is None and first.kind is StageKind.FINETUNE:
        return (
            "stages[0] (finetune) needs a pre- or mid-trained model; a PRETRAIN or MIDTRAIN stage before it, "
            "model.checkpoint or model.huggingface unlocks it"
        )
    if base_kind is StageKind.FINETUNE:
        return (
            f"stages[0] ({first.name}) needs a pre- or mid-trained model, and model.checkpoint names a fine-tuned one; "
            "the checkpoint that it was fine-tuned from unlocks it"
        )
    return None

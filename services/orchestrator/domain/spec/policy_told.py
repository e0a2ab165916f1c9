"""What a plan says of the policy: who decides, by which score, with which help, and why."""

from services.orchestrator.domain.spec.spec import Controller, PipelineSpec, StageKind, StageSpec, StopOn


def policy_told(spec: PipelineSpec) -> tuple[str, ...]:
    """Sentences for people about a filled spec; none where nothing is kept."""
    later = [stage for stage in spec.stages if stage.kind is not StageKind.PRETRAIN]
    if not later:
        return ()
    if spec.forgetting.mitigate is False:
        return ("mitigate is off: forgetting is measured, and nothing is done about it",)
    return (_controller(spec, later), _stop(spec), *(_distillation(stage) for stage in later))


def _controller(spec: PipelineSpec, later: list[StageSpec]) -> str:
    if spec.forgetting.controller is not Controller.ANTICIPATE:
        return "controller LADDER: more replay once a threshold is crossed, then a lower rate"
    if not any(share > 0 for stage in later for share in stage.data.replay.values()):
        return "controller ANTICIPATE: nothing is replayed yet; a share is chosen once something is forgotten"
    return "controller ANTICIPATE: there is replay, so the smallest share that keeps the budget is chosen beforehand"


def _stop(spec: PipelineSpec) -> str:
    if spec.forgetting.stop_on is StopOn.PROJECTED:
        return "stop on PROJECTED: a stage goes back for what it will end with, so that an early peak may pass"
    return "stop on RAW: a stage goes back for the score as it stands at any boundary after settling"


def _distillation(stage: StageSpec) -> str:
    if stage.penalty.distill:
        return f"{stage.name} distils with strength {stage.penalty.distill:g}: the parent is kept in memory and asked"
    return f"{stage.name} does not distil: penalty.distill asks the parent about replayed text, for a pass of it"

"""What is on the dashboards."""

from deploy.monitoring.alerts import Parameters
from deploy.monitoring.charts import GREY, ORANGE, RED, RUN, YELLOW, Board, Chart, Curve
from services.common import metrics as m

SET, SCORE = "{{run}} {{stage}} {{set}}", "{{run}} {{stage}} {{retention_set}}"


def pipelines() -> Board:
    """How the runs stand."""
    seconds_ago = f"time() - {m.STAGE_LAST_PROGRESS.name}{RUN}"
    charts = (
        Chart(
            title="Runs by state",
            about="Pipeline runs that the orchestrator knows.",
            curves=(Curve(expr=f"sum by (state) ({m.PIPELINE_RUNS.name})", legend="{{state}}"),),
            number=True,
        ),
        Chart(
            title="Stages running",
            about="Stages that are trained now.",
            curves=(Curve(expr=f"{m.STAGE_RUNNING.name}{RUN}", legend="{{run}} {{stage}}"),),
            number=True,
        ),
        Chart(
            title="Worst forgetting",
            about="Highest forgetting ratio of each running stage; none where no gauge can tell it from 0.",
            curves=(Curve(expr=f"max by (run, stage) ({m.FORGETTING_RATIO.name}{RUN} unless {_within_floor()})"),),
            unit="percentunit",
            bands=((0.05, YELLOW), (0.10, ORANGE), (0.20, RED)),
            number=True,
        ),
        Chart(
            title="Scores that are not resolved",
            about="Retention sets whose score lies within the noise floor of its gauge: no verdict, no alert.",
            curves=(Curve(expr=f"count by (run, stage) ({_within_floor()})"),),
            number=True,
            base=GREY,
        ),
        Chart(
            title="Seconds since the last progress",
            about="A worker that hangs is replaced within a minute.",
            curves=(Curve(expr=seconds_ago),),
            unit="s",
            bands=((45, YELLOW), (120, RED)),
        ),
        Chart(
            title="Decisions",
            about="What the gate decided, since the orchestrator started.",
            curves=(Curve(expr=f"sum by (decision) ({m.DECISIONS.name})", legend="{{decision}}"),),
        ),
        Chart(
            title="Attempts",
            about="Attempts begun by stage: more than one per run means rollbacks or replaced workers.",
            curves=(Curve(expr=f"sum by (stage) ({m.STAGE_ATTEMPTS.name})", legend="{{stage}}"),),
        ),
    )
    return Board(uid="retain-pipelines", title="Retain / Pipelines", about="How the runs stand.", charts=charts)


def forgetting(parameters: Parameters) -> Board:
    """Dual perplexity, and the score with its bands."""
    bands = ((parameters.minor, YELLOW), (parameters.action, ORANGE), (parameters.stop, RED))
    keep, learn = '{run=~"$run",role="retention"}', '{run=~"$run",role="target"}'
    charts = (
        Chart(
            title="Forgetting",
            about="(ppl_now - ppl_baseline) / ppl_baseline on the control set, with its 95 % interval; 0 is untouched. "
            "Below its noise floor a score is not resolved.",
            curves=(
                Curve(expr=f"{m.FORGETTING_RATIO.name}{RUN}", legend=SCORE),
                Curve(expr=f"{m.FORGETTING_RATIO_CI_LOW.name}{RUN}", legend=f"{SCORE} low"),
                Curve(expr=f"{m.FORGETTING_RATIO_CI_HIGH.name}{RUN}", legend=f"{SCORE} high"),
                Curve(expr=f"{m.FORGETTING_FLOOR_RATIO.name}{RUN}", legend=f"{SCORE} noise floor"),
            ),
            unit="percentunit",
            bands=bands,
            wide=True,
        ),
        Chart(
            title="Perplexity on what the model must keep",
            about="Retention sets and their baselines: the lines should stay together.",
            curves=(
                Curve(expr=f"{m.PERPLEXITY.name}{keep}", legend=SET),
                Curve(expr=f"{m.BASELINE_PERPLEXITY.name}{RUN}", legend=f"{SET} baseline"),
            ),
        ),
        Chart(
            title="Perplexity on what the stage is to learn",
            about="Target sets: the lines should fall.",
            curves=(Curve(expr=f"{m.PERPLEXITY.name}{learn}", legend=SET),),
        ),
        Chart(
            title="Forgetting in nats",
            about="ln(ppl_now / ppl_baseline): adds up over stages.",
            curves=(Curve(expr=f"{m.FORGETTING_NATS.name}{RUN}", legend=SCORE),),
        ),
        _probe_chart(),
        Chart(
            title="Loss of every set",
            about="Mean nats a token.",
            curves=(Curve(expr=f"{m.LOSS_NATS.name}{RUN}", legend=SET),),
        ),
    )
    about = "What was learnt, and what it cost."
    return Board(uid="retain-forgetting", title="Retain / Forgetting", about=about, charts=charts)


def _probe_chart() -> Chart:
    """What a fine-tuning lost beside perplexity."""
    return Chart(
        title="Probe of the fine-tuning",
        about="Share of items that the stage's start got right and the result does not, with its 95 % interval.",
        curves=(
            Curve(expr=f"{m.PROBE_LOSS.name}{RUN}", legend="{{run}} {{kind}}"),
            Curve(expr=f"{m.PROBE_LOSS_CI_LOW.name}{RUN}", legend="{{run}} {{kind}} low"),
            Curve(expr=f"{m.PROBE_LOSS_CI_HIGH.name}{RUN}", legend="{{run}} {{kind}} high"),
        ),
        unit="percentunit",
    )


def training() -> Board:
    """The training curves, and what the control loop sets."""

    def chart(title: str, about: str, metric: m.Metric, *, unit: str = "short", logarithmic: bool = False) -> Chart:
        return Chart(
            title=title,
            about=about,
            curves=(Curve(expr=f"{metric.name}{RUN}"),),
            unit=unit,
            logarithmic=logarithmic,
        )

    charts = (
        chart("Training loss", "Nats a token, as last reported.", m.TRAIN_LOSS_NATS),
        chart("Tokens a second", "Training speed.", m.TRAIN_TOKENS_PER_SECOND),
        chart(
            "Time at boundaries",
            "Share of a stage's time that went to uploads, verdicts and copies; over a tenth is worth a change.",
            m.STAGE_BOUNDARY_RATIO,
            unit="percentunit",
        ),
        chart("Learning rate", "After schedule and control loop.", m.LEARNING_RATE, unit="sci", logarithmic=True),
        chart("General share", "Share of general text in the batches.", m.GENERAL_SHARE, unit="percentunit"),
        chart("Curriculum level", "From 1; 0 without a curriculum.", m.CURRICULUM_LEVEL),
        chart("Tokens trained", "Rolled-back ones included.", m.TRAIN_TOKENS),
        Chart(
            title="Checkpoint stall",
            about="Median seconds that training stands still for a checkpoint.",
            curves=(Curve(expr=_quantile(0.5, m.CHECKPOINT_STALL_SECONDS)),),
            unit="s",
        ),
        Chart(
            title="Checkpoint upload",
            about="Median seconds of an upload, and uploads that failed and were tried again.",
            curves=(
                Curve(expr=_quantile(0.5, m.CHECKPOINT_UPLOAD_SECONDS)),
                Curve(expr=f"{m.CHECKPOINT_UPLOAD_FAILURES.name}{RUN}", legend="{{run}} {{stage}} failures"),
            ),
        ),
    )
    about = "Loss, speed and what the control loop sets."
    return Board(uid="retain-training", title="Retain / Training", about=about, charts=charts)


def services() -> Board:
    """The services themselves."""
    calls = m.GRPC_HANDLED.name
    by_call = "sum by (le, grpc_service, grpc_method)"
    latency = f"histogram_quantile(0.95, {by_call} (rate({m.GRPC_HANDLING_SECONDS.name}_bucket[$__rate_interval])))"
    duration = f"rate({m.EVALUATION_DURATION.name}_sum[5m]) / rate({m.EVALUATION_DURATION.name}_count[5m])"
    name = "{{grpc_service}}/{{grpc_method}}"
    charts = (
        Chart(
            title="Up",
            about="1 while Prometheus reaches the service.",
            curves=(
                Curve(expr='up{job=~"retain-.*"}', legend="{{job}}"),
                Curve(expr=m.EVALUATOR_TASK_UP.name, legend="evaluator: {{task}}"),
            ),
            number=True,
        ),
        Chart(
            title="Evaluations that wait",
            about="Waiting or being measured; those that wait for a store or a disk apart.",
            curves=(
                Curve(expr=m.EVALUATIONS_PENDING.name, legend="pending"),
                Curve(expr=m.EVALUATIONS_WAITING.name, legend="wait for store or disk"),
            ),
            number=True,
        ),
        Chart(
            title="Calls a second",
            about="By service, call and status.",
            curves=(
                Curve(
                    expr=f"sum by (grpc_service, grpc_method, grpc_code) (rate({calls}[$__rate_interval]))",
                    legend=name + " {{grpc_code}}",
                ),
            ),
            unit="reqps",
        ),
        Chart(
            title="Latency, 95 %",
            about="Streams count until they end.",
            curves=(Curve(expr=latency, legend=name),),
            unit="s",
        ),
        Chart(
            title="Seconds an evaluation",
            about="From taking it up to its end, mean of five minutes.",
            curves=(Curve(expr=duration, legend="evaluation"),),
            unit="s",
        ),
        Chart(
            title="Evaluations",
            about="By outcome, since the evaluator started.",
            curves=(Curve(expr=f"sum by (outcome) ({m.EVALUATIONS.name})", legend="{{outcome}}"),),
        ),
        Chart(
            title="Memory",
            about="Resident bytes of the services.",
            curves=(Curve(expr='process_resident_memory_bytes{job=~"retain-.*"}', legend="{{job}}"),),
            unit="bytes",
        ),
    )
    about = "Calls, latency, evaluations and memory."
    return Board(uid="retain-services", title="Retain / Services", about=about, charts=charts, by_run=False)


def _within_floor() -> str:
    """Scores that their gauge does not resolve."""
    labels = "run, stage, retention_set"
    score, floor = f"{m.FORGETTING_RATIO.name}{RUN}", f"{m.FORGETTING_FLOOR_RATIO.name}{RUN}"
    return f"({score} and on ({labels}) (abs({score}) <= on ({labels}) {floor}))"


def _quantile(quantile: float, metric: m.Metric) -> str:
    return f"histogram_quantile({quantile}, sum by (le, run, stage) ({metric.name}_bucket{RUN}))"

"""Which fields a form shows for a spec: only those that something reads for this model, these stages and this domain.

A field that does not apply is shown all the same while the spec sets it, so that its fault has a place.
"""

from typing import Any

from ui.spec.form.alternatives import Alternatives
from ui.spec.form.edit import Path, value_at
from ui.spec.form.fields import Field, Kind

PRESETS = ("nano", "micro", "small", "135m", "360m", "1b", "7b")
DOMAINS = ("CODE", "MATH", "SCIENCE")
SCIENCE_FIELDS = ("physics", "chemistry", "astronomy", "biology", "geology")
LANGUAGES = (
    "python", "javascript", "typescript", "java", "c", "c++", "c#", "go", "rust", "ruby", "php", "shell", "sql",
    "scala", "kotlin", "swift", "haskell", "lua", "perl", "r", "julia",
)  # fmt: skip
STRATEGIES = ("STAGED", "COMPETENCE", "SELF_PACED", "RANDOM")
SCHEDULES = ("COSINE", "WSD", "LINEAR", "CONSTANT")
RATES = {"PRETRAIN": "3e-4", "MIDTRAIN": "1e-5", "FINETUNE": "1e-6"}
STAGE_TITLES = {"PRETRAIN": "Pre-training", "MIDTRAIN": "Mid-training", "FINETUNE": "Fine-tuning"}
_SOURCE = "sample://docs, code, math, science, chat; s3://...; hf://owner/name; a path of your own machine"


def _text(path: Path, label: str, told: str, default: str = "") -> Field:
    return Field(path=path, label=label, kind=Kind.TEXT, help=told, default=default)


def _whole(path: Path, label: str, told: str, default: str = "") -> Field:
    return Field(path=path, label=label, kind=Kind.WHOLE, help=told, default=default)


def _number(path: Path, label: str, told: str, default: str = "") -> Field:
    return Field(path=path, label=label, kind=Kind.NUMBER, help=told, default=default)


def _choice(path: Path, label: str, told: str, options: tuple[str, ...], prefix: str, default: str = "") -> Field:
    return Field(path=path, label=label, kind=Kind.CHOICE, help=told, options=options, prefix=prefix, default=default)


def _switch(path: Path, label: str, told: str, default: str) -> Field:
    return Field(path=path, label=label, kind=Kind.SWITCH, help=told, default=default)


NAME = _text(("name",), "Name", "For people; 1 to 63 characters of a-z, 0-9 and '-'. It need not be unique.")
MODEL = Alternatives(
    holder=("model",),
    label="The weights come from",
    fields=(
        _choice(("model", "preset"), "Preset", "Random weights of this size.", PRESETS, ""),
        _text(("model", "huggingface"), "Hugging Face folder", "An s3:// URI, or a path that the workers can see."),
        _text(("model", "checkpoint"), "Checkpoint", "s3:// URI of an accepted checkpoint of another run."),
    ),
)
CONTEXT = _whole(("model", "context"), "Context", "Longest sequence in tokens.", "the model's")
VOCABULARY = _whole(
    ("tokenizer", "train", "vocab_size"),
    "Vocabulary of a new tokenizer",
    "512 to 262144. A byte-level BPE is trained on the first general source.",
    "the model brings its own",
)
SEED = _whole(("seed",), "Seed", "Of weights, order of the data and curriculum.", "0")
EVERY = Alternatives(
    holder=("evaluation", "every"),
    label="A boundary every",
    fields=(
        _whole(("evaluation", "every", "tokens"), "Tokens", "Distance of two boundaries, at which it is measured."),
        _whole(("evaluation", "every", "steps"), "Steps", "Distance of two boundaries, in optimizer steps."),
    ),
)
EVALUATION = (
    _whole(("evaluation", "tokens_per_set"), "Tokens of each set", "How much is measured at a boundary.", "15000"),
    _whole(("evaluation", "decision_lag"), "Decision lag", "Boundaries that a verdict may lag behind: 0 or 1.", "0"),
)
COMPUTE = (
    _whole(("compute", "workers"), "Workers", "Training workers.", "1"),
    _number(("compute", "gpus_per_worker"), "GPUs of each", "0 trains on CPUs.", "0"),
    _number(("compute", "cpus_per_worker"), "CPUs of each", "Cores of each worker.", "1"),
    _choice(
        ("compute", "precision"),
        "Precision",
        "Of products and activations; weights stay in fp32.",
        ("FP32", "BF16"),
        "PRECISION_",
        "BF16 on GPUs, FP32 on CPUs",
    ),
    _switch(("compute", "compile"), "torch.compile", "Faster after a minute; pays on long stages.", "no"),
    _switch(
        ("compute", "activation_checkpointing"),
        "Activation checkpointing",
        "A fraction of the memory for a third more time.",
        "no",
    ),
)
KEEP_LAST = _whole(("checkpoints", "keep_last"), "Checkpoints kept", "The newest so many of each stage.", "3")
GATE = (
    _number(("forgetting", "minor"), "Minor", "From here a score is watched.", "0.05"),
    _number(("forgetting", "action"), "Action", "From here Retain acts.", "0.1"),
    _number(("forgetting", "stop"), "Stop", "From here the stage goes back.", "0.2"),
    _number(("forgetting", "budget"), "Budget", "The promise at a stage's end.", "action"),
    _number(("forgetting", "settle"), "Settle", "Share of a stage before which only the worst acts.", "0.2"),
    _whole(("forgetting", "max_retries"), "Retries", "Rollbacks of a stage before a person is asked.", "2"),
    _switch(("forgetting", "mitigate"), "Act on forgetting", "Off: only measured.", "yes"),
    _choice(
        ("forgetting", "controller"),
        "Controller",
        "ANTICIPATE chooses the smallest share that keeps the budget; LADDER acts when a threshold is crossed; OP_MIX "
        "tries mixes before a stage, then does as ANTICIPATE.",
        ("LADDER", "ANTICIPATE", "OP_MIX"),
        "CONTROLLER_",
        "ANTICIPATE",
    ),
)


def model_fields(tree: Any) -> tuple[Field, ...]:
    """Beside where the weights come from: what applies to them."""
    trained = MODEL.chosen(tree) == "preset" or value_at(tree, VOCABULARY.path) is not None
    return (CONTEXT, *((VOCABULARY,) if trained else ()), SEED)


def kind_of(tree: Any, number: int) -> str:
    """PRETRAIN, MIDTRAIN, FINETUNE, or whatever else stands there."""
    return str(value_at(tree, ("stages", number, "kind")) or "").removeprefix("STAGE_KIND_")


def domain_of(tree: Any, number: int) -> str:
    """CODE, MATH, SCIENCE, or whatever else stands there."""
    return str(value_at(tree, ("stages", number, "domain")) or "").removeprefix("DOMAIN_")


def stages_of(tree: Any) -> list[int]:
    """Numbers of the stages that a form can show."""
    stages = value_at(tree, ("stages",))
    return [n for n, stage in enumerate(stages) if isinstance(stage, dict)] if isinstance(stages, list) else []


def duration_of(number: int) -> Alternatives:
    """How long a stage trains."""
    here: Path = ("stages", number, "duration")
    return Alternatives(
        holder=here,
        label="It trains for",
        fields=(
            _whole((*here, "tokens"), "Tokens", "Replay included."),
            _number((*here, "epochs"), "Epochs", "Passes over the target data."),
            _whole((*here, "steps"), "Steps", "Optimizer steps."),
        ),
    )


def data_fields(tree: Any, number: int) -> tuple[Field, ...]:
    """Sources, shares and options of the domain of one stage."""
    kind, domain, here = kind_of(tree, number), domain_of(tree, number), ("stages", number)
    data: Path = (*here, "data")
    first = not any(value_at(tree, ("stages", n, "data", "general")) for n in stages_of(tree) if n < number)
    fields = [
        (kind == "MIDTRAIN", _choice((*here, "domain"), "Domain", "What it learns.", DOMAINS, "DOMAIN_")),
        (kind == "MIDTRAIN", _text((*data, "domain"), "Text of the domain", _SOURCE)),
        (kind == "FINETUNE", _text((*data, "chat"), "Conversations", _SOURCE)),
        (True, _text((*data, "general"), "General text", _SOURCE, "" if first else "that of the first stage")),
        (
            kind == "MIDTRAIN",
            _number((*data, "general_share"), "Share of general text", "Of the target tokens, 0 to 0.9.", "0.1"),
        ),
        *((kind == "FINETUNE", field) for field in _replay_fields(tree, number)),
        (True, _whole((*data, "max_tokens"), "Cap on prepared tokens", "Of each source; 0 is none.", "none")),
        (
            domain == "CODE",
            Field(path=(*here, "domain_options", "languages"), label="Languages", kind=Kind.MANY,
                  help="Programming languages.", options=LANGUAGES, default="python"),
        ),
        (
            domain == "MATH",
            Field(path=(*here, "domain_options", "difficulty"), label="Difficulty", kind=Kind.RANGE,
                  help="Lowest and highest, both inclusive.", ends=(1.0, 5.0), default="all"),
        ),
        (
            domain == "SCIENCE",
            Field(path=(*here, "domain_options", "fields"), label="Fields", kind=Kind.MANY,
                  help="Fields of science.", options=SCIENCE_FIELDS, default="all"),
        ),
    ]  # fmt: skip
    return _applying(fields, tree)


def _replay_fields(tree: Any, number: int) -> list[Field]:
    """A share for each set that an earlier stage introduced, as the spec may name it."""
    names = ["general"]
    if any(kind_of(tree, n) == "MIDTRAIN" for n in stages_of(tree) if n < number):
        names.append("domain")
    given = value_at(tree, ("stages", number, "data", "replay"))
    names += [name for name in given if isinstance(name, str) and name not in names] if isinstance(given, dict) else []
    return [
        _number(("stages", number, "data", "replay", name), f"Replay of {name}", "Share of the target tokens.", "0.05")
        for name in names
    ]


def training_fields(tree: Any, number: int) -> tuple[Field, ...]:
    """Rate, curriculum, batch, adapters and penalty of one stage."""
    kind, here = kind_of(tree, number), ("stages", number)
    strategy = value_at(tree, (*here, "curriculum", "strategy"))
    later = kind != "PRETRAIN"
    shape = value_at(tree, (*here, "schedule", "kind"))
    fields = [
        (True, _number((*here, "learning_rate"), "Peak learning rate", "A tiny model bears ten times the ladder's.",
                       RATES.get(kind, ""))),
        (True, _choice((*here, "schedule", "kind"), "Shape of the rate", "Warm-up comes before each of them.",
                       SCHEDULES, "SCHEDULE_KIND_", "LINEAR" if later else "COSINE")),
        (True, _number((*here, "schedule", "warmup"), "Warm-up", "Share of the steps.", "0.05")),
        (str(shape).endswith("WSD"), _number((*here, "schedule", "decay"), "Decay", "Share of the steps.", "0.2")),
        (True, _choice((*here, "curriculum", "strategy"), "Curriculum", "Order by difficulty.", STRATEGIES,
                       "CURRICULUM_STRATEGY_", "random order")),
        (str(strategy).endswith("STAGED"), _whole((*here, "curriculum", "levels"), "Levels", "2 to 5.", "3")),
        (True, _whole((*here, "batch", "sequences"), "Sequences of a step", "Over all workers.", "16")),
        (later, _whole((*here, "lora", "rank"), "Rank of adapters (LoRA)", "0 trains all weights.", "0")),
        (later, _number((*here, "penalty", "distill"), "Distillation", "Strength; holds what the model says of "
                        "replayed text.", "1 where it can run, 4 on text of its own")),
    ]  # fmt: skip
    return _applying(fields, tree)


def _applying(fields: list[tuple[bool, Field]], tree: Any) -> tuple[Field, ...]:
    return tuple(field for applies, field in fields if applies or value_at(tree, field.path) is not None)


def all_fields(tree: Any) -> list[Field]:
    """Every field that the form shows for this spec, alternatives that are set included."""
    found = [NAME, *model_fields(tree), *EVALUATION, *COMPUTE, KEEP_LAST, *GATE]
    either = [MODEL, EVERY]
    for number in stages_of(tree):
        found += [*data_fields(tree, number), *training_fields(tree, number)]
        either.append(duration_of(number))
    return found + [a.field(name) for a in either if (name := a.chosen(tree)) is not None]

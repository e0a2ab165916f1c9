"""What is said once has one home: a second one that is written anywhere in the source is found here."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from model.checkpointing import checkpoint
from model.data import shards
from model.data.sources import SAMPLES
from model.nn.config import PRESETS
from retain.values import thresholds
from services.common.store import layout
from services.orchestrator.domain.spec.validation.checks import SAMPLES as NAMED_SAMPLES
from ui.spec.form.layout import PRESETS as OFFERED

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "model", "ui", "deploy")


@cache
def parsed(path: Path) -> ast.Module:
    """A module, read once for all tests here."""
    return ast.parse(path.read_text(encoding="utf-8"))


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module of ours by its path below the root, without generated code."""
    for folder in folders or FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), parsed(path)


def called(tree: ast.Module) -> set[str]:
    """Names of what a module calls: `Counter` of `Counter(...)` and of `prometheus_client.Counter(...)`."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {f.id if isinstance(f, ast.Name) else f.attr for f in functions if isinstance(f, ast.Name | ast.Attribute)}


def test_metrics_are_defined_in_one_module() -> None:
    makers = {"Gauge", "Histogram", "Summary"}  # `Counter` is also a class of collections
    assert {path for path, tree in sources() if called(tree) & makers} == {"services/common/metrics.py"}
    importing = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        and {name.name for name in node.names} & {*makers, "Counter"}
    }  # fmt: skip
    assert importing == {"services/common/metrics.py"}


def test_statuses_are_read_and_written_in_one_place_on_each_side() -> None:
    """services/common/grpc/status.py for the services; the command, which shares no code with them, has its own."""
    reading = {path for path, tree in sources() if "from_call" in called(tree)}
    assert reading == {"services/common/grpc/status.py", "ui/client/channel.py"}
    assert {path for path, tree in sources() if "BadRequest" in called(tree)} == reading


def test_pages_are_cut_in_one_place() -> None:
    def faults(tree: ast.Module) -> bool:
        given = [
            k.value for node in ast.walk(tree) if isinstance(node, ast.Call) for k in node.keywords if k.arg == "field"
        ]
        return any(isinstance(value, ast.Constant) and value.value in ("page_size", "page_token") for value in given)

    assert {path for path, tree in sources() if faults(tree)} == {"services/common/grpc/paging.py"}


def test_what_bears_no_loss_is_marked_by_one_number() -> None:
    def minus_100(tree: ast.Module) -> bool:
        negated = [
            node.operand for node in ast.walk(tree) if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        ]
        return any(type(value) is ast.Constant and type(value.value) is int and value.value == 100 for value in negated)

    found = {path for path, tree in sources() if minus_100(tree)}
    assert found - {"model/evaluation/detector.py"} == {"model/nn/losses.py"}, "the detector speaks of per cent"


def names(tree: ast.AST) -> set[str]:
    """Names and attributes that a module speaks of."""
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }


def _defines(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def test_what_is_named_by_its_content_is_cached_in_one_way() -> None:
    """Worker and evaluator say what to fetch; leases, locks, eviction and checks are the cache's."""
    evicting = {path for path, tree in sources("services") for node in ast.walk(tree) if _defines(node, "evict")}
    assert evicting == {"services/common/cache/content_cache.py"}
    assert {path for path, tree in sources("services") if "ContentCache" in called(tree)} == {
        "services/evaluator/adapters/local_cache.py",
        "services/worker/local_cache.py",
    }


def test_the_shape_of_the_rate_is_written_twice_because_the_domain_knows_no_torch() -> None:
    """tests/scenarios/test_projection_scenarios.py holds the two together, shape by shape; a third one is told here."""
    cosine = {path for path, tree in sources() if {"cos", "pi", "floor"} <= names(tree)}
    assert cosine == {"model/training/lr_schedule.py", "services/orchestrator/domain/policy/learning_rate.py"}


def test_presets_are_written_where_they_are_made_and_in_the_domain() -> None:
    """The domain, the command and the panel import no torch core. The lists are held equal."""

    def lists_presets(tree: ast.Module) -> bool:
        words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        return {"nano", "micro", "small"} <= words

    found = {path for path, tree in sources() if lists_presets(tree)}
    assert "model/nn/config.py" in found
    assert {path for path in found if not path.startswith("services/orchestrator/domain/spec/")} == {
        "model/nn/config.py",
        "ui/spec/form/layout.py",
    }
    assert list(OFFERED) == list(PRESETS)


def test_file_names_of_a_tokenizer_are_written_once() -> None:
    def says(tree: ast.Module) -> bool:
        return any(isinstance(node, ast.Constant) and node.value == "tokenizer_config.json" for node in ast.walk(tree))

    assert {path for path, tree in sources("model", "services") if says(tree)} == {
        "model/tokenization/tokenizer_files.py"
    }


def test_pauses_between_tries_are_computed_in_one_place() -> None:
    waits = {"wait_exponential", "wait_random_exponential", "wait_fixed", "wait_incrementing", "retry_if_exception"}
    assert {path for path, tree in sources("services") if names(tree) & waits} == {"services/common/retry.py"}


def test_samples_that_specs_may_name_are_those_that_there_are() -> None:
    """Written in the domain too, which imports no torch core."""
    assert NAMED_SAMPLES == SAMPLES


def test_a_score_becomes_minor_in_one_place() -> None:
    """The gate, the detector, command and panel ask it; the numbers of a doubtful score stand there too."""

    def graded(tree: ast.Module) -> bool:
        chosen = [node.body for node in ast.walk(tree) if isinstance(node, ast.IfExp)]
        return any(
            (isinstance(one, ast.Constant) and one.value == "MINOR")
            or (isinstance(one, ast.Attribute) and one.attr == "MINOR")
            for one in chosen
        )

    def bounded(tree: ast.Module) -> bool:
        targets = [(node.targets, node.value) for node in tree.body if isinstance(node, ast.Assign)]
        names = {one.id for found, _ in targets for one in found if isinstance(one, ast.Name)}
        return bool(names & {"SUSPICIOUS_BELOW", "LEAST_RATIO"})

    everywhere = (*FOLDERS, "protos/retain")
    home = "protos/retain/values/severity.py"
    assert {path for path, tree in sources(*everywhere) if graded(tree)} == {home}
    assert {path for path, tree in sources(*everywhere) if bounded(tree)} == {home}


def test_the_bounds_of_the_severities_have_their_defaults_in_one_place() -> None:
    """The orchestrator fills them into specs, the detector and the alerts begin with them. Those
    of an experiment's arm are part of its digest, and stay what they were."""
    bounds = {"minor", "action", "stop"}

    def gives(tree: ast.Module) -> bool:
        fields = [(node.target, node.value) for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
        calls = [node.args for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
        return any(
            isinstance(value, ast.Constant) and isinstance(value.value, float) and names(target) & bounds
            for target, value in [*fields, *calls]
        )

    assert {path for path, tree in sources() if gives(tree)} == {"model/experiments/arms.py"}
    said = (thresholds.MINOR, thresholds.ACTION, thresholds.STOP)
    assert said == (0.05, 0.10, 0.20), "README and the guides say these"


def test_the_worst_of_scores_is_told_in_one_place() -> None:
    """A score that is no number must not hide behind one, nor one that is not resolved stand before one that is."""
    asking = {path for path, tree in sources(*FOLDERS, "protos/retain") if "badness_of" in called(tree)}
    assert asking == {
        "services/orchestrator/domain/policy/gate.py",
        "ui/render/perplexity_table.py",
        "ui/sweep/comparison.py",
    }


def test_the_manifest_is_named_once_on_each_side() -> None:
    """The torch core, which writes it, and the services that may not import it."""
    found = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == "manifest.json"
    }
    assert found == {"model/checkpointing/checkpoint.py", "services/common/store/layout.py"}
    assert (layout.MANIFEST, layout.META) == (checkpoint.MANIFEST, shards.META)


def test_what_came_broken_is_fetched_again_by_one_rule() -> None:
    asking = {path for path, tree in sources("services") if "twice" in called(tree)}
    assert asking == {"services/worker/local_cache.py", "services/evaluator/adapters/measuring/verified_files.py"}


def test_the_sentence_of_a_fault_is_made_in_one_place() -> None:
    """By `mismatch`: "got X; expected Y". The builder of the site runs where no package of ours is installed."""
    elsewhere = re.compile(r"\bgot\b.*; expected |\b(is|are) allowed\b", re.DOTALL)

    def spelled(tree: ast.Module) -> bool:
        remarks = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in remarks]
        texts = [node.value for node in constants if isinstance(node.value, str)]
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
                texts.append("".join(part for part in parts if isinstance(part, str)))
        return any(elsewhere.search(text) for text in texts)

    found = {path for path, tree in sources(*FOLDERS, "protos/retain") if spelled(tree)}
    assert found == {"protos/retain/values/faults.py", "deploy/site/flowchart.py"}


def test_what_people_are_told_about_a_score_is_written_once() -> None:
    """For the gate's decisions and for the detector; the bounds of the severities have one function too."""

    def tells(tree: ast.Module) -> bool:
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        return any("LOWER learning rate" in text or "Severe forgetting detected" in text for text in texts)

    everywhere = (*FOLDERS, "protos/retain")
    assert {path for path, tree in sources(*everywhere) if tells(tree)} == {"protos/retain/values/recommendations.py"}
    grading = {path for path, tree in sources(*everywhere) if called(tree) & {"severity_of", "doubt_of"}}
    assert grading == {"protos/retain/values/thresholds.py"}


def test_which_addresses_only_the_own_machine_reaches_is_said_once() -> None:
    """Services and client ask it before a token travels without TLS, the launcher before it listens. Who downloads data
    asks another question: whether an address is one of the internet."""
    asking = {path for path, tree in sources(*FOLDERS, "protos/retain") if "is_loopback" in names(tree)}
    computing = {path for path in asking if "ip_address" in names(parsed(ROOT / path))}
    assert computing == {"protos/retain/values/addresses.py"}

"""Specs of a single stage, as the menu and the panel build them from a few answers."""

from typing import Any

from ui.spec import templates
from ui.spec.file import parse_yaml

DOMAINS = ("CODE", "MATH", "SCIENCE")
# What each stage teaches and why it exists; shown in every menu.
LESSONS = {
    "PRETRAIN": (
        "Pre-training reads general text from random weights and learns how language works. It takes by far the most "
        "tokens and the highest learning rate (3e-4 on real models): nothing is known yet that could be forgotten."
    ),
    "MIDTRAIN": (
        "Mid-training teaches a domain to a model that already reads: code, mathematics, science. The rate is lower "
        "(1e-5) and general text is mixed in (10 % to begin with), because what is not rehearsed is forgotten. "
        "Perplexity is measured twice at every boundary: on the domain, which should fall, and on general text, "
        "which should stay."
    ),
    "FINETUNE": (
        "Fine-tuning teaches behaviour, here conversations, with the lowest rate (1e-6). It must keep general "
        "language and the domain, so both are replayed and both are watched."
    ),
}


def stage_spec(kind: str, *, base_uri: str = "", domain: str = "CODE", name: str = "") -> dict[str, Any]:
    """A spec with one stage of the three-stage template; a later stage needs the checkpoint that it builds on."""
    tree = parse_yaml(templates.template("three-stage").text, name="three-stage")
    stage = next(stage for stage in tree["stages"] if stage["kind"] == kind)
    if kind == "MIDTRAIN":
        stage["domain"] = domain
        stage["data"]["domain"] = f"sample://{domain.lower()}"
        stage.pop("domain_options", None)
    if kind == "FINETUNE":
        # Alone, the stage knows no domain of an earlier stage to rehearse.
        stage["data"] = {"chat": "sample://chat", "general": "sample://docs", "replay": {"general": 0.05}}
    tree["stages"] = [stage]
    tree["name"] = name or f"{kind.lower()}-{domain.lower()}" if kind == "MIDTRAIN" else name or kind.lower()
    if kind != "PRETRAIN":
        tree["model"] = {"checkpoint": base_uri}
        tree.pop("tokenizer", None)
    result: dict[str, Any] = tree
    return result

"""Licences and advisories: what is not known is never a pass; and what each image is made of."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from deploy.audit import advisories
from deploy.audit.bill import IMAGES, ROOT, packages_of
from deploy.audit.licences import Package, allowed, faults, locked

TODAY = date(2026, 12, 1)
RULES: dict[str, Any] = {
    "licences": ["MIT", "Apache-2.0"],
    "words": {"MIT License": "MIT"},
    "packages": [{"name": "c", "licence": "MPL-2.0", "until": date(2027, 1, 1), "why": "unchanged"}],
}
EXCEPTED = Package(name="c", version="1", licence="MPL-2.0 AND MIT")


@pytest.mark.parametrize("licence", ["MIT", "MIT License", "MIT OR Apache-2.0", "(MIT AND Apache-2.0)"])
def test_a_licence_of_the_list_is_allowed(licence: str) -> None:
    assert faults([Package(name="a", version="1", licence=licence), EXCEPTED], RULES, TODAY) == []


@pytest.mark.parametrize("licence", ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "see LICENSE"])
def test_any_other_is_not(licence: str) -> None:
    found = faults([Package(name="a", version="1", licence=licence), EXCEPTED], RULES, TODAY)
    assert len(found) == 1
    assert found[0].startswith("a 1: ")


def test_an_exception_ends_holds_for_one_licence_and_is_not_kept_for_nothing() -> None:
    assert "look at it again" in faults([EXCEPTED], RULES, date(2027, 1, 2))[0]
    other = Package(name="c", version="1", licence="GPL-3.0-only")
    assert "not allowed" in faults([other], RULES, TODAY)[0]
    assert faults([], RULES, TODAY) == ["c: an exception for a package that is not in the lock"]


def test_every_exception_of_ours_says_why_and_until_when() -> None:
    for one in allowed()["packages"]:
        assert set(one) == {"name", "licence", "until", "why"}
        assert isinstance(one["until"], date)


def dependency(**more: Any) -> dict[str, Any]:
    return {"name": "a", "version": "1", "vulns": [], **more}


def test_what_could_not_be_asked_is_not_checked() -> None:
    away = advisories.judged("pip-audit gave no answer: no network", (), TODAY)
    assert (away.checked, away.unchecked, away.faults) == (0, ("pip-audit gave no answer: no network",), ())
    skipped = {"dependencies": [dependency(), {"name": "b", "skip_reason": "not found"}]}
    found = advisories.judged(skipped, (), TODAY)
    assert (found.checked, found.unchecked) == (1, ("b: not found",))
    nowhere = advisories.ask(Path("/nowhere/pip-audit"), ROOT / "requirements.lock")
    assert isinstance(nowhere, str)


def test_a_known_weakness_is_a_fault_unless_it_is_excused_for_now() -> None:
    answer = {"dependencies": [dependency(vulns=[{"id": "CVE-1", "fix_versions": ["2"]}])]}
    excuse = {"package": "a", "id": "CVE-1", "until": date(2026, 12, 31), "why": "not used"}
    assert advisories.judged(answer, (), TODAY).faults == ("a 1: CVE-1; mended in 2",)
    assert advisories.judged(answer, (excuse,), TODAY).faults == ()
    assert advisories.judged(answer, (excuse,), date(2027, 1, 1)).faults != ()


def test_an_image_s_bill_is_what_its_lists_need() -> None:
    images = {image: {line.partition("==")[0] for line in packages_of(image)[0]} for image in IMAGES}
    assert {"minio", "grpcio", "urllib3"} <= images["orchestrator"], "also what its packages need"
    assert not {"torch", "ray", "streamlit", "pytest"} & images["orchestrator"]
    assert "streamlit" in images["ui"]
    assert "torch" not in images["ui"]
    assert {"torch", "ray", "minio"} <= images["ray"]
    assert images["ray"] == images["evaluator"]
    assert all("==" in line for line in packages_of("ui")[0])
    assert set(images["ray"]) <= {
        name.lower().replace("_", "-").replace(".", "-") for name in locked(ROOT / "requirements.lock")
    }

"""Every page at two widths in both themes: axe-core, contrast, nothing that runs out of the window, and a picture."""

from typing import Any

import pytest

from tests.e2e.stack import until_ended
from tests.ui import specs
from tests.ui.axe import examined, picture
from tests.ui.visitor import NARROW, WIDE, Visitor, overhang
from ui.client.client import RetainClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def places(client: RetainClient) -> list[tuple[str, str, dict[str, Any]]]:
    """Each page by its name, path and query, with something on it."""
    runs = [client.create_run(specs.small(f"looked-at-{number}", pretrain=3, midtrain=2)).id for number in (1, 2)]
    for run_id in runs:
        assert until_ended(client, run_id).state == "SUCCEEDED"
    checkpoints = [row.id for row in client.checkpoints(run_id=runs[0], limit=2)]
    views = [(f"run-{view}", "run", {"run": runs[0], "view": view}) for view in ("live", "checkpoints", "logs")]
    return [
        ("pipelines", "", {}),
        ("new", "new_run", {}),
        *views,
        ("run-specification", "run", {"run": runs[0], "view": "specification"}),
        ("checkpoint", "checkpoints", {"checkpoint": checkpoints[0]}),
        ("compare", "compare", {"runs": ",".join(runs)}),
        ("try", "try_it", {}),
        ("operations", "operations", {}),
        ("learn", "learn", {}),
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda size: str(size[0]))
def test_every_page_is_good_to_look_at(visitor, places: list[tuple[str, str, dict]], size: tuple, theme: str) -> None:
    person: Visitor = visitor(size=size, theme=theme)
    page = person.logged_in()
    faults, least = [], {}
    for name, path, query in places:
        person.go(page, path, **query)
        page.wait_for_timeout(1000)
        report = examined(page)
        picture(page, f"{name}-{size[0]}-{theme}")
        assert report.looked_at > 50, f"axe-core looked at {report.looked_at} nodes of {name}"
        least[name] = report.least
        faults += [f"{name}: {fault}" for fault in report.faults]
        faults += [f"{name}: contrast {ratio} of {want}, {at}" for ratio, want, at in report.contrasts if ratio < want]
        if overhang(page) > 0:
            faults.append(f"{name}: runs out of the window at {size[0]} pixels")
    print({name: round(ratio, 2) for name, ratio in least.items()}, flush=True)
    assert faults == []
    person.shows_no_fault(page)

"""The parts of the cluster demo that need no cluster."""

import subprocess
import time
from pathlib import Path

from deploy.cluster import FORWARD_FOR_EVER, PORTS, outside_addresses
from deploy.cluster_demo import reduced


def test_every_stage_keeps_its_share_of_the_tokens(tmp_path: Path) -> None:
    template = tmp_path / "demo.yaml"
    template.write_text("stages:\n- duration: {tokens: 600000}\n- duration: {tokens: 400001}\n")
    assert reduced(template, 0.25) == [
        "--set",
        "stages.0.duration.tokens=150000",
        "--set",
        "stages.1.duration.tokens=100000",
    ]


def test_a_forward_that_ends_is_started_again(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = ["sh", "-c", FORWARD_FOR_EVER, "forward", "sh", "-c", 'echo "$1" >> "$0"', str(seen), "two words"]
    with subprocess.Popen(command) as child:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not (seen.exists() and len(seen.read_text().splitlines()) >= 2):
            time.sleep(0.05)
        child.kill()
    assert seen.read_text().splitlines()[:2] == ["two words", "two words"]


def test_each_service_has_an_address_of_its_own_outside() -> None:
    where = outside_addresses()
    assert where.keys() == PORTS.keys()
    assert len({address.rpartition(":")[2] for address in where.values()}) == len(PORTS)

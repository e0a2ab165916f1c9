"""The address of Grafana becomes links of a page: what is no plain web address is refused before the panel starts."""

import pytest

from ui.client.errors import BadInput
from ui.panel.__main__ import main
from ui.panel.grafana import SETTING, grafana_address, grafana_links


@pytest.mark.parametrize("address", ["http://10.0.0.1:3000", "https://g.example/grafana/", "http://[::1]:3000"])
def test_an_address_of_the_web_is_linked(address: str) -> None:
    links = grafana_links({SETTING: f" {address} "})
    assert links[0] == ("Forgetting", f"{address.rstrip('/')}/d/retain-forgetting")
    assert len(links) == 4


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)", "JavaScript://a.b/%0aalert(1)", "data:text/html,x", "file:///etc/passwd",
        "grafana.example", "http://", "https://user:secret@g.example",
        "https://g.example/?x=1", "https://g.example/#x", "http://g h",
        'https://g.example/"><script>', "https://g.example/a\nb", "//g.example", "http://g.example\\@evil.example",
    ],
)  # fmt: skip
def test_anything_else_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="expected http"):
        grafana_address({SETTING: address})
    monkeypatch.setenv(SETTING, address)
    with pytest.raises(SystemExit, match=SETTING):
        main()

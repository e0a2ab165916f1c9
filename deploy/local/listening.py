"""Where orchestrator and evaluator of the local stack listen: on loopback in plain text, where nobody has to think of
anything; or, with RETAIN_LISTEN, for other machines too, with certificates of an authority in RETAIN_HOME."""

import datetime
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy import issue
from deploy.local.home import Home
from deploy.local.ports import LOOPBACK
from retain.values.addresses import is_loopback

LISTEN = "RETAIN_LISTEN"
LIFETIME, RENEWED_BEFORE = datetime.timedelta(days=397), datetime.timedelta(days=120)


@dataclass(frozen=True, kw_only=True)
class Listening:
    """`host` to listen on, and the folder of the certificates; None on loopback."""

    host: str = LOOPBACK
    folder: Path | None = None

    @classmethod
    def of(cls, home: Home, env: Mapping[str, str]) -> "Listening":
        """As the environment says; makes nothing."""
        host = env.get(LISTEN, "").strip("[]") or LOOPBACK
        return cls() if is_loopback(f"{host}:0") else cls(host=host, folder=home.path / "tls")

    @property
    def ca(self) -> Path | None:
        """What clients of this machine trust."""
        return self.folder / "clients" / issue.CA if self.folder else None

    def bind(self, port: int) -> str:
        """An address to listen on."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def make(self) -> None:
        """See that the certificates are there and good for a while. Raises RuntimeError for a damaged authority."""
        if self.folder is None:
            return
        names = own_names() if self.host in ("0.0.0.0", "::") else [*own_names(), self.host]
        holders = {"orchestrator": names, "evaluator": names, "worker": []}
        try:
            issue.provide(self.folder, holders, lifetime=LIFETIME, left=RENEWED_BEFORE)
        except ValueError as error:
            raise RuntimeError(str(error)) from error

    def settings(self, holder: str) -> dict[str, str]:
        """The files of a holder, as services read them."""
        if self.folder is None:
            return {}
        files = {"CA": issue.CA, "CERT": issue.CERT, "KEY": issue.KEY}
        return {f"RETAIN_TLS_{name}": str(self.folder / holder / file) for name, file in files.items()}


def own_names() -> list[str]:
    """Names and addresses of this machine."""
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return list(dict.fromkeys(["localhost", socket.gethostname(), *(one.partition("%")[0] for one in found)]))

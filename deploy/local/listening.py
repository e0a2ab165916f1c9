"""Where orchestrator, evaluator and object store of the local stack listen: on loopback in plain text, where nobody has
to think of anything; or, with RETAIN_LISTEN, for other machines too, with certificates of an authority in its home."""

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
EVERYWHERE = ("0.0.0.0", "::")
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
        return f"{_in_url(self.host)}:{port}"

    def make(self) -> None:
        """See that the certificates are there and good for a while. Raises RuntimeError for a damaged authority."""
        if self.folder is None:
            return
        names = own_names() if self.host in EVERYWHERE else [*own_names(), self.host]
        holders = {"orchestrator": names, "evaluator": names, "object_store": names, "worker": []}
        try:
            issue.provide(self.folder, holders, lifetime=LIFETIME, left=RENEWED_BEFORE)
        except ValueError as error:
            raise RuntimeError(str(error)) from error

    def reached(self, port: int) -> str:
        """Address by which this machine itself reaches what listens there."""
        return f"{_in_url(LOOPBACK if self.host in EVERYWHERE else self.host)}:{port}"

    def url(self, address: str) -> str:
        """Of a server there that speaks HTTP."""
        return f"{'https' if self.folder else 'http'}://{address}"

    def public_url(self, port: int) -> str:
        """The same for other machines, by the address that they most likely know: the one that is listened on, else the
        first of this machine beyond loopback."""
        found = own_addresses() if self.host in EVERYWHERE else []
        hosts = [_in_url(one) for one in found if "%" not in one]
        beyond = [f"{host}:{port}" for host in hosts if not is_loopback(f"{host}:{port}")]
        return self.url(beyond[0] if beyond else self.reached(port))

    def pair(self, holder: str) -> tuple[Path, Path] | None:
        """Files of a holder's certificate and its key; None on loopback."""
        return (self.folder / holder / issue.CERT, self.folder / holder / issue.KEY) if self.folder else None

    def settings(self, holder: str) -> dict[str, str]:
        """The files of a holder, as services read them."""
        if self.folder is None:
            return {}
        files = {"CA": issue.CA, "CERT": issue.CERT, "KEY": issue.KEY}
        return {f"RETAIN_TLS_{name}": str(self.folder / holder / file) for name, file in files.items()}


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def own_names() -> list[str]:
    """Names and addresses of this machine."""
    return list(dict.fromkeys(["localhost", socket.gethostname(), *(one.partition("%")[0] for one in own_addresses())]))


def own_addresses() -> list[str]:
    """Addresses of this machine; one that is good on its own link alone names that behind a %."""
    return [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]

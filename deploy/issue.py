"""An authority and certificates in a folder: what a machine without a cluster's secrets has (compose, the local stack).

    python -m deploy.issue FOLDER orchestrator=orchestrator,localhost,127.0.0.1 worker [--days 397] [--renew-days 120]

Each HOLDER gets a folder of its name with tls.crt, tls.key and ca.crt, as cert-manager names them; one without names of
hosts is good for calling alone. FOLDER/authority keeps the authority (whoever reads it can make certificates), and
FOLDER/clients has its certificate for everybody else. What is there stays until its end is near or other names are
asked for: the program may run as often as anybody likes, and services take what is new by themselves.
"""

import argparse
import datetime
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.certificates import Authority, Pair, why_not

CA, CERT, KEY = "ca.crt", "tls.crt", "tls.key"


def provide(
    folder: Path, holders: Mapping[str, Sequence[str]], *, lifetime: datetime.timedelta, left: datetime.timedelta
) -> dict[str, str]:
    """See that the certificates of `holders` (names of hosts and addresses by holder) are there and good for `left`.
    Returns what was done by holder. Raises ValueError for a damaged authority, OSError."""
    authority = _authority(folder / "authority")
    trusted = (folder / "authority" / CERT).read_bytes()
    done = {}
    for holder, names in holders.items():
        mine = folder / holder
        held = Pair(certificate=_content(mine / CERT), key=_content(mine / KEY))
        why = why_not(held, authority, names=names, left=left)
        if why:
            pair = authority.issue(holder, names=names, server=bool(names), lifetime=lifetime)
            write(mine / CERT, pair.certificate)
            write(mine / KEY, pair.key)
        if _content(mine / CA) != trusted:
            write(mine / CA, trusted)
        done[holder] = "kept" if not why else f"renewed: {why}" if held.certificate else "made"
    if _content(folder / "clients" / CA) != trusted:
        write(folder / "clients" / CA, trusted, mode=0o644)
    return done


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file at once, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _authority(folder: Path) -> Authority:
    held = Pair(certificate=_content(folder / CERT), key=_content(folder / KEY))
    if not held.certificate and not held.key:
        authority = Authority.new("Retain")
        write(folder / KEY, authority.pair.key)
        write(folder / CERT, authority.pair.certificate)
        return authority
    try:
        return Authority.load(held)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder} holds no authority ({error}); remove it, and a new one is made") from error


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def main() -> int:
    """Entry point: 0 when every certificate is there."""
    parser = argparse.ArgumentParser(prog="python -m deploy.issue", description="Certificates in a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("holders", nargs="+", metavar="HOLDER[=NAME,NAME...]")
    parser.add_argument("--days", type=float, default=397.0, help="how long a certificate is good (default: 397)")
    parser.add_argument("--renew-days", type=float, default=120.0, help="renew one that ends within (default: 120)")
    given = parser.parse_args()
    holders = {}
    for one in given.holders:
        holder, _, names = one.partition("=")
        holders[holder] = [name for name in names.split(",") if name]
    try:
        lifetime, left = (datetime.timedelta(days=days) for days in (given.days, given.renew_days))
        for holder, said in provide(given.folder, holders, lifetime=lifetime, left=left).items():
            print(f"{given.folder / holder}: {said}", flush=True)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

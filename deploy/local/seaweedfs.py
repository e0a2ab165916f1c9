"""SeaweedFS as the object store of one machine: all its parts in one process, and no door but S3's, which wants keys.

Its master, volume and filer servers listen on ports of their own, on loopback, where every user and every web page of
the machine can knock. By default they serve whoever comes, past the keys of S3. So here

- their gRPC ports speak mutual TLS, with an authority made for this start of the program and known to nobody else;
- the HTTP interfaces of master and filer are off (S3 speaks gRPC with both);
- that of the volume server, through which S3 reads and writes data, wants a signature (JWT) for reads and writes.

It makes narrow keys (STS) for whoever holds the keys of `prepare`: signed with a key that comes from these, so that
those of a run stay good when it is started again.

What stays open is reading of no content: the master's and the volume server's status pages (counts and sizes).

It keeps the names of its objects in LevelDB, which refuses to write for good once it met a full disk: `JammedNames`
tells when that is so and the disk has room again, so that whoever started it starts it anew.
"""

import base64
import hmac
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.certificates import Authority
from deploy.local.home import Home, write_private
from deploy.local.ports import LOOPBACK

SIGNED = ("JWT_SIGNING", "JWT_SIGNING_READ", "JWT_FILER_SIGNING", "JWT_FILER_SIGNING_READ")
SPEAK_TLS = ("MASTER", "VOLUME", "FILER", "S3", "CLIENT")
# A line of its log with both says that LevelDB's journal could not be written.
NAMES, NO_SPACE = b"/filerldb2/", b": no space left on device"
ROOM_BYTES = 64 << 20  # started with less it would be full again at once
ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")


def command(program: str, home: Home, ports: Mapping[str, int], data: Path) -> list[str]:
    """All parts of SeaweedFS in one process, on loopback, without its usage reports."""
    return [
        program,
        "-logtostderr=true",
        "server",
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-disableHttp",  # the master's; the filer has a switch of its own
        f"-master.port={ports['store_master']}",
        f"-master.port.grpc={ports['store_master_grpc']}",
        "-master.telemetry=false",
        # Alone, it need not wait ten seconds for others before it elects itself.
        "-master.electionTimeout=1s",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={ports['store_volume']}",
        f"-volume.port.grpc={ports['store_volume_grpc']}",
        "-volume.max=0",
        "-volume.preStopSeconds=1",
        "-filer",
        "-filer.disableHttp",
        f"-filer.port={ports['store_filer']}",
        f"-filer.port.grpc={ports['store_filer_grpc']}",
        f"-filer.localSocket={home.scratch / 'filer.sock'}",
        "-s3",
        f"-s3.port={ports['object_store']}",
        f"-s3.port.grpc={ports['store_s3_grpc']}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={_identities(home)}",
        f"-s3.iam.config={_iam(home)}",
        f"-s3.localSocket={home.scratch / 's3.sock'}",
    ]


def environment(home: Home) -> dict[str, str]:
    """What closes the doors: it wins over every security.toml that lies on the machine."""
    folder = _tls(home)
    certificates = {
        f"WEED_GRPC_{part}_{what}": str(folder / file)
        for part in SPEAK_TLS
        for what, file in (("CERT", "certificate.pem"), ("KEY", "key.pem"))
    }
    keys = {f"WEED_{name}_KEY": secrets.token_hex(32) for name in SIGNED}
    return {**keys, **certificates, "WEED_GRPC_CA": str(folder / "authority.pem")}


def prepare(home: Home, *, access_key: str, secret_key: str) -> None:
    """Before each start: the keys of S3, and a new authority with one certificate, for the parts among themselves."""
    keys = {"accessKey": access_key, "secretKey": secret_key}
    identity = {"name": "retain", "credentials": [keys], "actions": list(ACTIONS)}
    write_private(_identities(home), json.dumps({"identities": [identity]}))
    write_private(_iam(home), json.dumps(narrow_keys(secret_key)))
    folder = _tls(home)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    authority = Authority.new("object store of this start")
    pair = authority.issue("store")
    write_private(folder / "authority.pem", authority.pem.decode())
    write_private(folder / "certificate.pem", pair.certificate.decode())
    write_private(folder / "key.pem", pair.key.decode())


def narrow_keys(secret_key: str) -> dict[str, object]:
    """Its settings (-s3.iam.config) by which it answers AssumeRole: a policy comes with each question, what none allows
    is denied, and nothing of it is kept."""
    signing = base64.b64encode(hmac.digest(secret_key.encode(), b"keys that end", "sha256")).decode()
    return {
        "sts": {"issuer": "retain", "signingKey": signing, "tokenDuration": "1h", "maxSessionLength": "12h"},
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
    }


class JammedNames:
    """Whether the store that writes to `log`, with its data in `data`, must be started again to write. LevelDB for Go
    keeps the first error of a journal's writer until it is opened anew (github.com/syndtr/goleveldb, issue 196): every
    later write of a name fails with it, room or not."""

    def __init__(self, log: Path, data: Path) -> None:
        self._log, self._data = log, data
        self.begin()

    def begin(self) -> None:
        """A new life begins: what the log says so far is of former ones."""
        self._read_to = self._log.stat().st_size if self._log.exists() else 0
        self._met_full_disk = False

    def __call__(self) -> str:
        """Why it is to be started again, "" when it is not. Reads what the log got since the last call."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._read_to)
                new = log.read()
            self._read_to += new.rfind(b"\n") + 1  # a line that is half there is read again
            self._met_full_disk = self._met_full_disk or any(
                NAMES in line and NO_SPACE in line for line in new.splitlines()
            )
            if not self._met_full_disk or shutil.disk_usage(self._data).free < ROOM_BYTES:
                return ""
        except FileNotFoundError:
            return ""
        return f"its file of names met a full disk and writes no more; {self._data} has room again"


def remove_sockets(ports: Mapping[str, int]) -> None:
    """It leaves its gRPC sockets in /tmp, named by port."""
    for part in ("master", "volume", "filer", "s3"):
        Path(f"/tmp/seaweedfs-{part}-grpc-{ports[f'store_{part}_grpc']}.sock").unlink(missing_ok=True)


def _identities(home: Home) -> Path:
    return home.path / "seaweedfs.json"


def _iam(home: Home) -> Path:
    return home.path / "seaweedfs-iam.json"


def _tls(home: Home) -> Path:
    return home.path / "seaweedfs-tls"

"""The lineage for users: look at checkpoints, take one out, bring a Hugging Face model in, upload files."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retain.values import CheckpointRef, CreateUploadResponse, Domain, ExportedFile, StageKind
from retain.values.faults import mismatch
from services.common.concurrency.blocking import Blocking
from services.common.errors import Corrupt, FailedPrecondition, InvalidInput, NotFound, Violation
from services.common.store.layout import MANIFEST
from services.common.store.object_store import ObjectStore, key_of, s3_uri
from services.orchestrator.application.ports import CheckpointFilter, Page, Upload
from services.orchestrator.application.projects.scope import ScopedRunStore, chosen_project
from services.orchestrator.application.projects.service import ProjectService
from services.orchestrator.application.sources import UPLOADS, upload_folder
from services.orchestrator.domain.run.events import CheckpointVoided
from services.orchestrator.domain.run.state import Checkpoint, CheckpointState
from services.orchestrator.domain.spec.huggingface import faults_of_config, faults_of_files

URL_LIVES_S = 3600
STORE_LIMIT_S = 120.0  # checking an import looks at every file of it
LARGEST_CONFIG_BYTES = 1_000_000
MANIFEST_FORMAT = 1  # as model/checkpointing/checkpoint.py writes and reads it
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,100}")


@dataclass(frozen=True, kw_only=True)
class Export:
    """A checkpoint's files. `expire_s`: Unix time at which the URLs end."""

    checkpoint: Checkpoint
    files: tuple[ExportedFile, ...]
    expire_s: float


class CheckpointService:
    """The use cases of CheckpointService, and CreateUpload. Bytes never pass through the service."""

    def __init__(self, run_store: ScopedRunStore, store: ObjectStore, projects: ProjectService) -> None:
        self._run_store = run_store
        self._projects = projects
        self._store = store
        self._files = Blocking("store", threads=4, limit_s=STORE_LIMIT_S)

    def close(self) -> None:
        """Give up the threads."""
        self._files.close()

    async def page(
        self, wanted: CheckpointFilter, *, limit: int, below_number: int | None, project: str = ""
    ) -> Page[Checkpoint]:
        """Checkpoints, newest first."""
        repository = self._run_store.repository
        return await self._run_store.read(
            repository.list_checkpoints, wanted=wanted, limit=limit, below_number=below_number, project=project
        )

    async def get(self, key: str) -> Checkpoint:
        """One checkpoint by id, URI or digits of its manifest's digest."""
        return await self._run_store.read(self._run_store.repository.find_checkpoint, key)

    async def export(self, key: str, *, with_training_state: bool) -> Export:
        """Presigned URLs of a checkpoint's files, as its manifest names them. Raises FailedPrecondition."""
        checkpoint = await self.get(key)
        if not checkpoint.status.usable:
            raise FailedPrecondition(
                f"{checkpoint.id} is {checkpoint.status}: its files may be gone; expected LIVE and ACCEPTED ones",
                reason="CHECKPOINT_GONE",
            )
        files = await self._files(self._manifest_files, checkpoint)
        expire_s = self._run_store.clock.now_s() + URL_LIVES_S
        prefix = key_of(self._store, checkpoint.ref.uri)
        exported = tuple(
            ExportedFile(
                path=name,
                url=self._store.presign_get(f"{prefix}/{name}", expires_s=URL_LIVES_S),
                sha256=str(entry["sha256"]),
                bytes=int(entry["size"]),
            )
            for name, entry in files.items()
            if with_training_state or name.startswith("model/")
        )
        return Export(checkpoint=checkpoint, files=exported, expire_s=expire_s)

    async def void(self, key: str, reason: str) -> Checkpoint:
        """Set a checkpoint aside: nothing resumes from it any more. The same again changes nothing; one that others
        build on, or whose files are gone anyway, is refused."""
        async with self._run_store.choosing:  # no run comes to build on it in the middle
            return await self._void(key, reason)

    async def _void(self, key: str, reason: str) -> Checkpoint:
        checkpoint = await self._run_store.read(self._run_store.repository.find_own_checkpoint, key)
        if checkpoint.status is CheckpointState.DAMAGED:
            return checkpoint
        if not checkpoint.status.usable:
            raise FailedPrecondition(
                f"{checkpoint.id} is {checkpoint.status}: nothing resumes from it; expected LIVE and ACCEPTED ones",
                reason="CHECKPOINT_GONE",
            )
        users = await self._run_store.read(self._run_store.repository.building_on, checkpoint.ref.uri)
        if users:
            raise FailedPrecondition(
                f"run {users[0]} builds on {checkpoint.id}; its success or deletion unlocks this",
                reason="CHECKPOINT_IN_USE",
            )
        if not checkpoint.run_id:
            said = "set aside by a person" + (f": {reason}" if reason else "")
            aside = replace(checkpoint, status=CheckpointState.DAMAGED, message=said)
            await self._run_store.read(self._run_store.repository.put_checkpoint, aside)
            return aside
        event = CheckpointVoided(checkpoint=checkpoint.ref, reason=reason, now_s=self._run_store.clock.now_s())
        await self._run_store.apply(checkpoint.run_id, event)
        return await self.get(checkpoint.id)

    async def create_upload(
        self, *, sha256: str, file_name: str, size_bytes: int, folder: str, project: str = ""
    ) -> CreateUploadResponse:
        """A request to upload one file by. Files of a model folder share `folder` and lie side by side. What was
        uploaded stays as it is: another content of the same name in a folder is refused.

        Raises InvalidInput, FailedPrecondition, QuotaExceeded, or NotFound for the project.
        """
        project = chosen_project(project)
        _check_upload(sha256, file_name, size_bytes, folder)
        kept = upload_folder(project, folder or sha256)
        place = f"{UPLOADS}/{kept}/model" if folder else f"{UPLOADS}/{kept}"
        key = f"{place}/{file_name}"
        known = {u.file_name: u for u in await self._run_store.read(self._run_store.repository.uploads, kept)}
        same = file_name not in known or known[file_name].sha256 == sha256
        upload = Upload(
            folder=kept,
            project=project,
            file_name=file_name,
            sha256=sha256,
            bytes=size_bytes,
            asked_s=self._run_store.clock.now_s(),
        )
        async with self._run_store.choosing:  # after it the collection of garbage knows of this upload
            more = size_bytes - (known[file_name].bytes if file_name in known else 0)
            await self._projects.check_bytes(project, max(0, more))
            present = await self._files(self._store.stat, key)
            if present is not None and (present.size_bytes != size_bytes or not same):
                raise FailedPrecondition(
                    f"{key} holds another file of {present.size_bytes} bytes; an upload is written once: expected "
                    "another folder, or the same content",
                    reason="UPLOAD_EXISTS",
                )
            await self._run_store.read(self._run_store.repository.put_upload, upload)
        put = None
        if present is None:
            put = self._store.sign_put(key, sha256=sha256, size_bytes=size_bytes, expires_s=URL_LIVES_S)
        return CreateUploadResponse(
            url=put.url if put else "",
            headers=put.headers if put else {},
            uri=s3_uri(self._store, place if folder else key),
            expire_time_s=self._run_store.clock.now_s() + URL_LIVES_S,
        )

    async def import_model(self, uri: str, name: str) -> Checkpoint:
        """Register an uploaded Hugging Face folder as a base. Importing the same files again is the same checkpoint."""
        async with self._run_store.choosing:
            return await self._import(uri, name)

    async def _import(self, uri: str, name: str) -> Checkpoint:
        folder = await self._files(self._folder_of, uri)
        uploads = await self._run_store.read(self._run_store.repository.uploads, folder)
        manifest = await self._files(self._commit_import, folder, uploads)
        digest = hashlib.sha256(_canonical(manifest)).hexdigest()
        project = uploads[0].project
        checkpoint = Checkpoint(
            id=f"imported/{upload_folder(project, digest[:16])}",
            project=project,
            run_id="",
            stage_index=0,
            stage=name or f"imported {folder}",
            kind=StageKind.PRETRAIN,
            domain=Domain.UNSPECIFIED,
            attempt=0,
            boundary=0,
            ref=CheckpointRef(
                uri=s3_uri(self._store, f"{UPLOADS}/{folder}"),
                manifest_sha256=digest,
                weights_digest=manifest["weights_digest"],
            ),
            parent="",
            status=CheckpointState.ACCEPTED,
            bytes=sum(entry["size"] for entry in manifest["files"].values()),
            created_s=self._run_store.clock.now_s(),
        )
        await self._run_store.read(self._run_store.repository.put_checkpoint, checkpoint)
        return checkpoint

    def _folder_of(self, uri: str) -> str:
        parts = key_of(self._store, uri).removesuffix("/model").split("/")
        if len(parts) != 2 or parts[0] != UPLOADS:
            said = mismatch(repr(uri), "a folder that was uploaded through CreateUpload (retain import DIR)")
            raise InvalidInput([Violation(field="uri", description=said)])
        return parts[1]

    def _commit_import(self, folder: str, uploads: Sequence[Upload]) -> Mapping[str, Any]:
        """Check what was uploaded, write the manifest last, and return it."""
        if not uploads:
            raise NotFound(f"nothing was uploaded to the folder {folder!r}")
        faults = [Violation(field="uri", description=said) for said in faults_of_files([u.file_name for u in uploads])]
        prefix = f"{UPLOADS}/{folder}/model"
        for upload in uploads:
            present = self._store.stat(f"{prefix}/{upload.file_name}")
            if present is None or present.size_bytes != upload.bytes:
                came = "nothing" if present is None else f"{present.size_bytes} bytes"
                said = f"{upload.file_name}: {came} arrived; {upload.bytes} bytes were announced"
                faults.append(Violation(field="uri", description=said))
        if not faults:
            faults = [Violation(field=f, description=said) for f, said in faults_of_config(self._config(prefix))]
        if faults:
            raise InvalidInput(faults, reason="MODEL_REFUSED")
        files = {f"model/{u.file_name}": {"size": u.bytes, "sha256": u.sha256} for u in uploads}
        weights = {name: entry["sha256"] for name, entry in files.items() if name.endswith(".safetensors")}
        manifest = {
            "format": MANIFEST_FORMAT,
            "files": files,
            # Over the files, not the tensors: their bytes never pass through here.
            "weights_digest": hashlib.sha256(_canonical(weights)).hexdigest(),
            "parent": "",
            "spec_digest": "",
            "step": 0,
            "tokens": 0,
        }
        self._store.put_bytes(f"{UPLOADS}/{folder}/{MANIFEST}", _canonical(manifest), content_type="application/json")
        return manifest

    def _config(self, prefix: str) -> Any:
        key = f"{prefix}/config.json"
        info = self._store.stat(key)
        if info is None or info.size_bytes > LARGEST_CONFIG_BYTES:
            return None
        try:
            return json.loads(self._store.get_bytes(key))
        except (ValueError, RecursionError):
            return None

    def _manifest_files(self, checkpoint: Checkpoint) -> Mapping[str, Mapping[str, Any]]:
        """The manifest's entries, once its bytes have the digest that the database holds."""
        key = f"{key_of(self._store, checkpoint.ref.uri)}/{MANIFEST}"
        data = self._store.get_bytes(key)
        if hashlib.sha256(data).hexdigest() != checkpoint.ref.manifest_sha256:
            raise Corrupt(
                f"{checkpoint.id}: the manifest in the store has another SHA-256 than the registered one",
                reason="MANIFEST_CHANGED",
            )
        return manifest_entries(json.loads(data))


def manifest_entries(manifest: Any) -> Mapping[str, Mapping[str, Any]]:
    """Size and SHA-256 of each file of a manifest, by name. Raises Corrupt for another shape."""
    try:
        files = {name: {"size": entry["size"], "sha256": entry["sha256"]} for name, entry in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"a manifest has another shape than expected: {error!r}") from error
    if any(name.startswith("/") or ".." in name.split("/") for name in files):
        raise Corrupt("a manifest names a file outside of its folder")
    return files


def _check_upload(sha256: str, file_name: str, size_bytes: int, folder: str) -> None:
    """Raises InvalidInput with every fault of what is to be uploaded."""
    faults = []
    if not _SHA256.fullmatch(sha256):
        faults.append(Violation(field="sha256", description=mismatch(repr(sha256), "64 hex digits")))
    if not _FILE_NAME.fullmatch(file_name):
        said = mismatch(repr(file_name), "a name without folders of A-Z, a-z, 0-9, '.', '_', '-'")
        faults.append(Violation(field="file_name", description=said))
    if folder and not _FOLDER.fullmatch(folder):
        said = mismatch(repr(folder), "a name of A-Z, a-z, 0-9, '_', '-'")
        faults.append(Violation(field="folder", description=said))
    if size_bytes < 0:
        faults.append(Violation(field="bytes", description=mismatch(size_bytes, "0 or more")))
    if faults:
        raise InvalidInput(faults)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

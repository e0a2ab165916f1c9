"""Reads the beginning of a source by the torch core's readers, which keep foreign data in a bounded child."""

import os
import tempfile
from pathlib import Path

from model.data.looks.preview import Preview, preview
from model.data.roles import StageText
from model.errors import RetainModelError
from retain.values import DataPreview, DifficultyBin, PreviewedDocument, PreviewedToken, StageKind, StageSpec
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, NotFound, Violation
from services.common.places import SETTING, allowed_folders, leads_out, local_path, roots_of
from services.common.store.object_store import ObjectStore, inside, parse_s3_uri
from services.common.store.uploaded import upload_fault
from services.evaluator.application.ports import Previewer

LARGEST_FETCH_BYTES, MOST_OBJECTS = 64_000_000, 64


class SourcePreviewer(Previewer):
    """`store` holds the uploads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def preview(self, stage: StageSpec, role: str, uri: str, field: str, count: int) -> DataPreview:
        _check_local(uri, field)
        said = stage_text(stage, role, uri)
        name = said.domain if role == "domain" and said.domain else role
        with tempfile.TemporaryDirectory(prefix="retain-preview-") as folder:
            fetch = lambda place, into: self._fetch(place, into, field)  # noqa: E731
            try:
                found = preview(said, name, uri, count=count, fetch=fetch, cache=Path(folder))
            except RetainModelError as error:
                raise _bad(field, f"{error.field}: {error.description}") from error
            except OSError as error:
                raise _bad(field, mismatch(error.strerror or type(error).__name__, "what may be read")) from error
        return _told(found)

    def _fetch(self, uri: str, folder: Path, field: str) -> Path:
        """The object, or all objects under a prefix, where they are few and small enough for a look."""
        bucket, key = parse_s3_uri(uri)
        if bucket != self._store.bucket:
            raise _bad(field, mismatch(f"the bucket {bucket}", f"the bucket {self._store.bucket}"))
        single = self._store.stat(key)
        objects = [single] if single is not None else []
        if single is None:
            for found in self._store.list(f"{key.rstrip('/')}/"):
                objects.append(found)
                if len(objects) > MOST_OBJECTS:
                    break
        size = sum(one.size_bytes for one in objects)
        if not objects:
            raise _bad(field, mismatch("no object there", "an object or a prefix in the store"))
        if size > LARGEST_FETCH_BYTES or len(objects) > MOST_OBJECTS:
            got = f"{size:,} bytes in {len(objects)} objects"
            expected = f"up to {LARGEST_FETCH_BYTES:,} bytes in up to {MOST_OBJECTS} for a preview; a run takes more"
            raise _bad(field, mismatch(got, expected))
        try:
            for one in objects:
                name = one.key.rsplit("/", 1)[-1] if single is not None else one.key[len(key.rstrip("/")) + 1 :]
                path = inside(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._store.get_file(one.key, path)
        except NotFound as error:
            raise _bad(field, mismatch(str(error), "an object or a prefix in the store")) from error
        place = inside(folder, key.rsplit("/", 1)[-1]) if single is not None else folder
        fault = upload_fault(key, place)
        if fault is not None:
            raise _bad(field, mismatch(*fault))
        return place


def stage_text(stage: StageSpec, role: str, uri: str) -> StageText:
    """What a stage says about its text; its fields hold for what it is to learn, as when a run is prepared."""
    learns = stage.kind is StageKind.PRETRAIN or role in ("domain", "chat")
    options = stage.domain_options
    return StageText(
        learned=(uri,) if learns else (),
        fields=dict(stage.data.fields),
        domain=stage.domain.lower() if stage.kind is StageKind.MIDTRAIN and stage.domain else None,
        domain_options={
            "languages": list(options.languages),
            "difficulty": list(options.difficulty),
            "fields": list(options.fields),
        },
    )


def _check_local(uri: str, field: str) -> None:
    """Raises InvalidInput for a local place that leads where a run's worker would not go either."""
    path, roots = local_path(uri), roots_of(os.environ.get(SETTING))
    if path is None:
        return
    link = leads_out(path, roots)
    if link is not None:
        got = f"{uri}, in which {link} is a link that leads out" if link else uri
        raise _bad(field, mismatch(repr(got), allowed_folders(roots)))


def _told(found: Preview) -> DataPreview:
    return DataPreview(
        kind=found.kind,
        documents=tuple(
            PreviewedDocument(
                place=one.place,
                tokens=tuple(PreviewedToken(text=text, is_target=said) for text, said in one.tokens),
                token_count=one.token_count,
                target_count=one.target_count,
                cut=one.cut,
                difficulty=one.difficulty,
            )
            for one in found.documents
        ),
        documents_read=found.documents_read,
        bytes_read=found.bytes_read,
        complete=found.complete,
        difficulty=tuple(DifficultyBin(low=low, high=high, count=count) for low, high, count in found.difficulty),
        unrated=found.unrated,
        notes=found.notes,
        tokenizer=found.tokenizer,
    )


def _bad(field: str, description: str) -> InvalidInput:
    return InvalidInput([Violation(field=field, description=description)])

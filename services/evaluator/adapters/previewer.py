"""Reads the beginning of a source by the torch core's readers, which keep foreign data in a bounded child."""

import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from model.data.looks.preview import OwnTokenizer, Preview, preview
from model.data.roles import StageText
from model.errors import RetainModelError
from retain.values import DataPreview, DifficultyBin, ModelSpec, PreviewedDocument, PreviewedToken, StageKind, StageSpec
from retain.values.faults import mismatch
from services.common.errors import InvalidInput
from services.common.places import SETTING, allowed_folders, leads_out, local_path, roots_of
from services.common.store.object_store import ObjectStore
from services.evaluator.adapters.fetched import fetched
from services.evaluator.adapters.own_tokenizer import bring_tokenizer, place_of_model
from services.evaluator.application.ports import Previewer


class SourcePreviewer(Previewer):
    """`store` holds the uploads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def preview(self, stage: StageSpec, role: str, uri: str, field: str, count: int, model: ModelSpec) -> DataPreview:
        _check_local(uri, field)
        place = place_of_model(model)
        if place:
            _check_local(place, "model.huggingface")
        said = stage_text(stage, role, uri)
        name = said.domain if role == "domain" and said.domain else role
        with tempfile.TemporaryDirectory(prefix="retain-preview-") as folder:
            fetch = partial(fetched, self._store, field=field)
            own, cache = Path(folder) / "tokenizer", Path(folder) / "data"
            own.mkdir()
            lacking = bring_tokenizer(self._store, place, own) if place else None
            known = OwnTokenizer(folder=own, place=place) if place and lacking is None else None
            try:
                found = preview(said, name, uri, count=count, fetch=fetch, cache=cache, own=known)
            except RetainModelError as error:
                raise InvalidInput.at(field, f"{error.field}: {error.description}") from error
            except OSError as error:
                raise InvalidInput.at(
                    field, mismatch(error.strerror or type(error).__name__, "what may be read")
                ) from error
        return _told(found if lacking is None else replace(found, tokenizer=f"{found.tokenizer} ({lacking})"))


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
        raise InvalidInput.at(field, mismatch(repr(got), allowed_folders(roots)))


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

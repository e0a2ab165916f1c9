"""Opens the sources of a spec: a URI, the fields and options that the spec names for it, and the cap on its tokens."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from model.data.roles import StageText, as_role, role_options
from model.data.sources import Source, open_source
from model.document import Document
from model.errors import BadSource
from model.tokenization.encoding import batched, encode_plain
from model.tokenization.tokenizer import Tokenizer
from retain.types.v1 import spec_pb2
from services.common.errors import NotFound
from services.common.store.object_store import ObjectStore, get_folder, inside, parse_s3_uri
from services.worker.preparation.local_files import check_local
from services.worker.preparation.uploads import check_upload

DOMAIN_NAMES = {spec_pb2.DOMAIN_CODE: "code", spec_pb2.DOMAIN_MATH: "math", spec_pb2.DOMAIN_SCIENCE: "science"}


COUNTED_AT_ONCE = 64  # documents: of at most a megabyte each


class CappedSource(Source):
    """The first documents of a source, up to a number of tokens."""

    def __init__(self, source: Source, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._source, self._tokenizer, self._max_tokens = source, tokenizer, max_tokens
        self.uri, self.kind = source.uri, source.kind
        self.options = {**source.options, "max_tokens": max_tokens}
        self._count: int | None = None

    def documents(self) -> Iterator[Document]:
        """Documents as long as the cap is not passed. Tokens are counted in the first pass only."""
        if self._count is not None:
            yield from islice(self._source, self._count)
            return
        tokens = count = 0
        for batch in batched(self._source, COUNTED_AT_ONCE):
            for document, ids in zip(batch, encode_plain(self._tokenizer, batch), strict=True):
                tokens += len(ids)
                if tokens > self._max_tokens:
                    self._count = count
                    return
                count += 1
                yield document
        self._count = count

    def place(self) -> str:
        """That of the source."""
        return self._source.place()

    def notes(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.notes()

    def fingerprint(self) -> str:
        """That of the source; the cap is among the options."""
        return self._source.fingerprint()


def open_role(
    stage: spec_pb2.StageSpec,
    role: str,
    uri: str,
    *,
    store: ObjectStore,
    folder: Path,
    waiting: Callable[[], None] | None = None,
) -> Source:
    """The source behind a role of a stage. Raises BadSource.

    folder: holds what is fetched from the store; waiting: called while the reader is waited for, and may end it.
    """
    check_local(role, uri)
    said = stage_text(stage, uri)
    options = role_options(said, role, uri) or None
    source = open_source(uri, options=options, fetch=fetcher(store), cache=folder, waiting=waiting)
    return as_role(said, role, source)


def stage_text(stage: spec_pb2.StageSpec, uri: str) -> StageText:
    """What a stage says about its text.

    The stage's `fields` and the domain's options hold for the text that the stage is to learn, not for what it
    replays: in PRETRAIN that is whatever is asked for (`uri`).
    """
    given = stage.domain_options
    pretrain, midtrain = spec_pb2.STAGE_KIND_PRETRAIN, spec_pb2.STAGE_KIND_MIDTRAIN
    return StageText(
        learned=(uri,) if stage.kind == pretrain else (stage.data.chat, stage.data.domain),
        fields=dict(stage.data.fields),
        domain=DOMAIN_NAMES.get(stage.domain) if stage.kind == midtrain else None,
        domain_options={
            "languages": list(given.languages),
            "difficulty": list(given.difficulty),
            "fields": list(given.fields),
        },
    )


def fetcher(store: ObjectStore) -> Callable[[str, Path], Path]:
    """Brings the object or all objects under an s3:// URI into a folder. Raises BadSource when there is nothing."""

    def fetch(uri: str, folder: Path) -> Path:
        bucket, key = parse_s3_uri(uri)
        if bucket != store.bucket:
            raise BadSource(field=uri, got=f"the bucket {bucket}", expected=f"the bucket {store.bucket}")
        try:
            if store.stat(key) is not None:
                path = inside(folder, key.rsplit("/", 1)[-1])
                store.get_file(key, path)
                check_upload(uri, key, path)
                return path
            if get_folder(store, key, folder):
                check_upload(uri, key, folder)
                return folder
        except NotFound as error:
            raise BadSource(field=uri, got=str(error), expected="an object or a prefix in the store") from error
        raise BadSource(field=uri, got="no object there", expected="an object or a prefix in the store")

    return fetch

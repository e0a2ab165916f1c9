"""The model that a run starts from, made a checkpoint of its own, so that it can be a parent and a baseline.

`huggingface: ...` is a folder that the worker can see, or an s3:// prefix; it is read with the torch core's own reader
(safetensors only, its own schema of config.json) and written again under imports/{manifest sha256}/. `checkpoint: ...`
is there already and is only verified.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.checkpointing import checkpoint, hf
from model.data.held_out import HeldOut
from model.errors import BadCheckpoint, BadConfig, RetainModelError
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.types.v1 import values_pb2
from services.common.errors import NotFound
from services.common.logging import get_logger
from services.common.store.object_store import ObjectStore, get_folder, parse_s3_uri, put_folder, s3_uri
from services.worker.local_cache import LocalCache
from services.worker.preparation.local_files import check_local
from services.worker.preparation.uploads import check_upload


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base: its checkpoint, a local copy of it, its tokenizer."""

    reference: values_pb2.CheckpointRef
    folder: Path
    tokenizer: Tokenizer


def take_base(
    work: control_pb2.PrepareWork, *, store: ObjectStore, cache: LocalCache, beat: Callable[[], None]
) -> Base | None:
    """The base of a run, or None when it starts from random weights. Raises BadCheckpoint and the like, named."""
    model = work.spec.model
    if model.WhichOneof("source") == "preset":
        return None
    if work.spec.tokenizer.HasField("train"):
        raise BadConfig("tokenizer.train", "a new tokenizer", "the tokenizer that the imported model brings")
    if work.HasField("base"):
        folder, reference = cache.checkpoint(work.base), work.base
    elif model.WhichOneof("source") == "huggingface":
        folder, reference = import_model(model.huggingface, store=store, cache=cache, beat=beat)
    else:
        raise BadCheckpoint("model.checkpoint", model.checkpoint, "a checkpoint that the orchestrator knows")
    files = folder / checkpoint.MODEL_FOLDER
    tokenizer = Tokenizer.load(files)
    # People know the model by what the spec calls it, not by the place of our copy.
    tokenizer.template_place = tokenizer.template_place.replace(str(files), model.huggingface or model.checkpoint)
    return Base(reference=reference, folder=folder, tokenizer=tokenizer)


def import_model(
    place: str, *, store: ObjectStore, cache: LocalCache, beat: Callable[[], None]
) -> tuple[Path, values_pb2.CheckpointRef]:
    """Read a Hugging Face folder and publish it as a checkpoint; the same model again is the same checkpoint."""
    with cache.work_folder() as work:
        source = _source_folder(place, store, work / "source")
        beat()
        notes: list[str] = []
        try:
            model, tokenizer = hf.load_pretrained(source, beat=beat, notes=notes), Tokenizer.load(source)
            hf.check_vocabulary(model.config, tokenizer)
            held_out = HeldOut.read(source)
        except RetainModelError as error:  # under the name that the spec has
            raise type(error)(error.field.replace(str(source), place), error.got, error.expected) from error
        for note in notes:
            get_logger().info("model", note=note.replace(str(source), place))
        made = work / "checkpoint"
        made.mkdir()
        manifest = checkpoint.write_imported(made, model=model, tokenizer=tokenizer, held_out=held_out, beat=beat)
        key = f"imports/{manifest.sha256}"
        if store.stat(f"{key}/{checkpoint.MANIFEST}") is None:
            put_folder(store, made, key, last=checkpoint.MANIFEST)
        beat()
        reference = values_pb2.CheckpointRef(
            uri=s3_uri(store, key), manifest_sha256=manifest.sha256, weights_digest=manifest.weights_digest
        )
        return cache.keep_checkpoint(made, manifest.sha256), reference


def _source_folder(place: str, store: ObjectStore, folder: Path) -> Path:
    if not place.startswith("s3://"):
        check_local("model.huggingface", place)
        path = Path(place).expanduser()
        if not path.is_dir():
            raise BadCheckpoint("model.huggingface", place, "a folder that the workers can see, or an s3:// prefix")
        return path
    bucket, key = parse_s3_uri(place)
    if bucket != store.bucket:
        raise BadCheckpoint("model.huggingface", f"the bucket {bucket}", f"the bucket {store.bucket}")
    folder.mkdir()
    try:
        names = get_folder(store, key, folder)
    except NotFound as error:
        raise BadCheckpoint("model.huggingface", str(error), "an s3:// prefix that holds a model") from error
    if not names:
        raise BadCheckpoint("model.huggingface", f"nothing at {place}", "an s3:// prefix that holds a model")
    check_upload("model.huggingface", key, folder)
    return folder

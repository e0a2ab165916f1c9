"""What people uploaded, brought onto this machine to be looked at or measured: where it is small enough, and only what
was sent."""

from pathlib import Path

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, NotFound
from services.common.store.object_store import ObjectStore, inside, parse_s3_uri
from services.common.store.uploaded import upload_fault

LARGEST_FETCH_BYTES, MOST_OBJECTS = 64_000_000, 64


def fetched(store: ObjectStore, uri: str, folder: Path, *, field: str, most_bytes: int | None = None) -> Path:
    """The object, or all objects under a prefix, in `folder`; up to `most_bytes`, or LARGEST_FETCH_BYTES. Raises
    InvalidInput at `field` for what is not there, too much, or not what was sent."""
    bucket, key = parse_s3_uri(uri)
    if bucket != store.bucket:
        raise InvalidInput.at(field, mismatch(f"the bucket {bucket}", f"the bucket {store.bucket}"))
    single = store.stat(key)
    objects = [single] if single is not None else []
    if single is None:
        for found in store.list(f"{key.rstrip('/')}/"):
            objects.append(found)
            if len(objects) > MOST_OBJECTS:
                break
    size, most = sum(one.size_bytes for one in objects), most_bytes or LARGEST_FETCH_BYTES
    if not objects:
        raise InvalidInput.at(field, mismatch("no object there", "an object or a prefix in the store"))
    if size > most or len(objects) > MOST_OBJECTS:
        got = f"{size:,} bytes in {len(objects)} objects"
        expected = f"up to {most:,} bytes in up to {MOST_OBJECTS} here; a run takes more"
        raise InvalidInput.at(field, mismatch(got, expected))
    try:
        for one in objects:
            name = one.key.rsplit("/", 1)[-1] if single is not None else one.key[len(key.rstrip("/")) + 1 :]
            path = inside(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(one.key, path)
    except NotFound as error:
        raise InvalidInput.at(field, mismatch(str(error), "an object or a prefix in the store")) from error
    place = inside(folder, key.rsplit("/", 1)[-1]) if single is not None else folder
    fault = upload_fault(key, place)
    if fault is not None:
        raise InvalidInput.at(field, mismatch(*fault))
    return place

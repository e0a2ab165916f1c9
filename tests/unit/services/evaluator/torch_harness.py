"""Tiny real models and sets on a fake store, measured by the real measurer, for tests."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from model.checkpointing import checkpoint as files
from model.data.eval_set import EvalSet
from model.document import Document
from model.nn.config import ModelConfig
from model.nn.llama import Llama
from retain.values import CheckpointRef, EvalSetRef, SetRole
from services.common.store.object_store import put_folder, s3_uri
from services.evaluator.adapters.local_cache import open_cache
from services.evaluator.adapters.measuring.interpolation_writer import TorchInterpolationWriter
from services.evaluator.adapters.measuring.measurer import TorchMeasurer
from services.evaluator.adapters.measuring.verified_files import VerifiedFiles
from tests.fakes.object_store import FakeObjectStore
from tests.unit.model.data_helpers import byte_tokenizer

TEXTS = [f"Once upon a time there were {count} little foxes." for count in range(12)]


def tiny_model(seed: int, dtype: torch.dtype = torch.float32) -> Llama:
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context=32, width=16, layers=1, heads=2, kv_heads=1, ffn_width=32
    )
    return Llama(config).to(dtype)


@dataclass
class TorchHarness:
    """`measurer` and `writer` as the evaluator has them; a new one is a new process on the same disk."""

    root: Path
    max_bytes: int = 1_000_000_000
    store: FakeObjectStore = field(default_factory=FakeObjectStore)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.cache = open_cache(self.root / "cache", max_bytes=self.max_bytes)
        self.files = verified = VerifiedFiles(self.store, self.cache)
        self.measurer = TorchMeasurer(verified, threads=1, device="cpu", make_room=self.cache.free)
        self.writer = TorchInterpolationWriter(self.measurer, verified, self.store, self.cache)

    def put(
        self, name: str, model: Llama, *, claim: str | None = None, by_files: bool = False, key: str | None = None
    ) -> CheckpointRef:
        """The model as a checkpoint; `claim` is a digest that its manifest claims, `by_files` claims the one of an
        upload, over the hashes of its weight files."""
        folder = self.root / "made" / name
        manifest = files.write_imported(folder, model=model, tokenizer=byte_tokenizer(), step=100)
        if by_files:
            hashes = {n: e.sha256 for n, e in manifest.files.items() if n.endswith(".safetensors")}
            claim = hashlib.sha256(json.dumps(hashes, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        if claim is not None:
            data = replace(manifest, weights_digest=claim).to_bytes()
            (folder / files.MANIFEST).write_bytes(data)
            manifest = files.Manifest.from_bytes(data)
        key = key or f"runs/r1/midtrain/code/attempt-1/step-{abs(hash(name)) % 10**9:09d}"
        put_folder(self.store, folder, key, last=files.MANIFEST)
        return CheckpointRef(
            uri=s3_uri(self.store, key),
            manifest_sha256=manifest.sha256,
            weights_digest=manifest.weights_digest,
            step=100,
        )

    def put_set(self, name: str, texts: list[str] | None = None) -> EvalSetRef:
        documents = [Document(text=text, origin=f"{name}/{row}") for row, text in enumerate(texts or TEXTS)]
        folder = self.root / "made" / f"set-{name}"
        digest = EvalSet.build(name, documents, byte_tokenizer(), 16).write(folder)
        put_folder(self.store, folder, f"evalsets/{digest}", last="meta.json")
        return EvalSetRef(
            name=name, uri=s3_uri(self.store, f"evalsets/{digest}"), digest=digest, role=SetRole.RETENTION
        )

    def key(self, ref: CheckpointRef, name: str = "model/model.safetensors") -> str:
        return f"{ref.uri.removeprefix('s3://retain/')}/{name}"

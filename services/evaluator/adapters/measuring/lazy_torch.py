"""Puts off importing torch until something is to be measured: an evaluator that waits should cost little memory."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from retain.values import (
    EvalSetRef,
    ProbeRequest,
    SampleTextRequest,
    SampleTextResponse,
    WritePointRequest,
    WritePointResponse,
)
from services.common.cache.content_cache import ContentCache
from services.common.store.object_store import ObjectStore
from services.evaluator.application.ports import (
    FileMeasured,
    FileMeasurer,
    FileOrder,
    InterpolationWriter,
    Measurer,
    Prober,
    Sampler,
)
from services.evaluator.domain.request import Model
from services.evaluator.domain.result import Measurement, NoiseFloor

if TYPE_CHECKING:
    from services.evaluator.adapters.measuring.file_measurer import TorchFileMeasurer
    from services.evaluator.adapters.measuring.interpolation_writer import TorchInterpolationWriter
    from services.evaluator.adapters.measuring.measurer import TorchMeasurer


class LazyTorch(Measurer, Prober, Sampler, InterpolationWriter, FileMeasurer):
    """The torch adapter, made at the first request; later ones find it there."""

    def __init__(self, store: ObjectStore, cache: ContentCache, *, threads: int, device: str) -> None:
        self._store, self._cache, self._threads, self._device = store, cache, threads, device
        self._made: tuple[TorchMeasurer, TorchInterpolationWriter, TorchFileMeasurer] | None = None
        self._making = threading.Lock()

    def identify(self, model: Model) -> str:
        return self._torch()[0].identify(model)

    def identify_set(self, ref: EvalSetRef) -> str:
        return self._torch()[0].identify_set(ref)

    def method(self) -> str:
        return self._torch()[0].method()

    def measure(self, model: Model, ref: EvalSetRef) -> Measurement:
        return self._torch()[0].measure(model, ref)

    def shape(self, model: Model) -> str:
        return self._torch()[0].shape(model)

    def floor_method(self) -> str:
        return self._torch()[0].floor_method()

    def floor(self, model: Model, ref: EvalSetRef) -> NoiseFloor:
        return self._torch()[0].floor(model, ref)

    def probe_method(self) -> str:
        return self._torch()[0].probe_method()

    def probe(self, model: Model, settings: ProbeRequest, only: Sequence[str] | None) -> dict[str, bool]:
        return self._torch()[0].probe(model, settings, only)

    def release(self) -> None:
        if self._made is not None:
            self._made[0].release()

    def make_room(self) -> None:
        self._cache.free()

    def write(self, order: WritePointRequest) -> WritePointResponse:
        return self._torch()[1].write(order)

    def sample(self, order: SampleTextRequest) -> Iterator[SampleTextResponse]:
        return self._torch()[0].sample(order)

    def file_method(self) -> str:
        return self._torch()[2].method()

    def measure_file(self, model: Model, order: FileOrder, progress: Callable[[int, int], None]) -> FileMeasured:
        return self._torch()[2].measure(model, order, progress)

    def _torch(self) -> "tuple[TorchMeasurer, TorchInterpolationWriter, TorchFileMeasurer]":
        with self._making:
            if self._made is None:
                from services.evaluator.adapters.measuring.file_measurer import TorchFileMeasurer
                from services.evaluator.adapters.measuring.interpolation_writer import TorchInterpolationWriter
                from services.evaluator.adapters.measuring.measurer import TorchMeasurer
                from services.evaluator.adapters.measuring.verified_files import VerifiedFiles

                files = VerifiedFiles(self._store, self._cache)
                measurer = TorchMeasurer(files, threads=self._threads, device=self._device, make_room=self._cache.free)
                writer = TorchInterpolationWriter(measurer, files, self._store, self._cache)
                self._made = measurer, writer, TorchFileMeasurer(measurer, files, self._store)
            return self._made

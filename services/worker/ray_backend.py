"""Torch on Ray Train, with ears for SIGTERM.

The train function runs on a thread of the worker's process, and Python lets only the main thread handle signals. The
main thread carries out actor calls; Ray has given SIGTERM a handler there that ends the process at once. Ray Train
calls a backend between the start of the processes and that of the train function, by actor calls: this one puts our
handler in the place of Ray's.
"""

from dataclasses import dataclass
from typing import Any

from ray.train.torch.config import TorchConfig, _TorchBackend

from services.worker.leaving import leave_on_sigterm


class LeavingBackend(_TorchBackend):
    """The process group as Ray Train sets it up, then the handler."""

    def on_training_start(self, worker_group: Any, backend_config: Any) -> None:
        super().on_training_start(worker_group, backend_config)
        worker_group.execute(leave_on_sigterm)


@dataclass
class LeavingTorchConfig(TorchConfig):
    """TorchConfig with this backend."""

    @property
    def backend_cls(self) -> type[LeavingBackend]:
        return LeavingBackend

"""Every call that leaves a process, found in the code: what a fault can be injected into.

A port is a Protocol class of the services' application layer, the object store, the training loop's own ports, or an
RPC that one process of Retain makes to another. A new one is found here, and the matrix fails until it is covered.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import services
from model.training import job as stage
from retain.evaluator.v1 import service_pb2
from retain.orchestrator.v1 import stage_control_service_pb2
from services.common.store import object_store

# Protocols that nothing is lost over, each with its reason.
NO_EDGE = {
    "services.orchestrator.application.run_store.Clock": "reads the machine's clock",
    "services.orchestrator.application.run_store.Observer": "called in the same process: a fault in one is one of code",
    "services.evaluator.application.ports.Statistics": "arithmetic on numbers at hand",
}


@dataclass(frozen=True, order=True)
class Call:
    """One method of one port."""

    port: str
    method: str

    def __str__(self) -> str:
        return f"{self.port.rpartition('.')[2]}.{self.method}"


def protocol_calls() -> frozenset[Call]:
    """Methods of every port that is a Protocol."""
    return frozenset(
        Call(f"{module.__name__}.{cls.__name__}", name)
        for module in _modules()
        for cls in _protocols(module)
        if f"{module.__name__}.{cls.__name__}" not in NO_EDGE
        for name, member in vars(cls).items()
        if inspect.isfunction(member) and not name.startswith("_")
    )


def rpc_calls() -> frozenset[Call]:
    """RPCs that workers make to the orchestrator, and the orchestrator to the evaluator."""
    found = [
        stage_control_service_pb2.DESCRIPTOR.services_by_name["StageControlService"],
        service_pb2.DESCRIPTOR.services_by_name["EvaluatorService"],
    ]
    return frozenset(Call(service.full_name, method.name) for service in found for method in service.methods)


def _modules() -> Iterator[ModuleType]:
    yield from (object_store, stage)
    for info in pkgutil.walk_packages(services.__path__, "services."):
        if ".application." in info.name:
            yield importlib.import_module(info.name)


def _protocols(module: ModuleType) -> Iterator[Any]:
    for member in vars(module).values():
        if inspect.isclass(member) and member.__module__ == module.__name__ and getattr(member, "_is_protocol", False):
            if module is stage and member is not stage.StagePorts:
                continue  # what the training loop computes with: tensors, no edge
            yield member

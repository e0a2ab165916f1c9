"""Every request is looked at before its handler sees it: sizes, counts, numbers, characters, unknown fields.

The limits are in services/common/limits.py. A spec inside of a request is left to whoever reads specs
(services/orchestrator/transport/bounds.py), who has a table in the words of a spec.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from retain.values.faults import mismatch
from services.common import limits
from services.common.errors import InvalidInput, Violation
from services.common.grpc.interceptors import Continuation, wrap
from services.common.limits import Text
from services.common.texts import escaped, fault_of_text, shown

OURS = "/retain."
SPEC = "retain.types.v1.PipelineSpec"
# Between services of different versions a field that one of them does not know yet is no fault.
LENIENT = ("/retain.orchestrator.v1.StageControlService/", "/retain.evaluator.v1.EvaluatorService/")
MOST_FAULTS = 50


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Raises InvalidInput, with every fault, for a request that is outside of the limits."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OURS):
            return handler
        strict = not method.startswith(LENIENT)

        def unary(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                check_request(request, strict=strict)
                return await behaviour(request, context)

            return call

        def stream(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                check_request(request, strict=strict)
                async for response in behaviour(request, context):
                    yield response

            return call

        return wrap(handler, unary, stream)


def check_request(request: Message, *, strict: bool) -> None:
    """Raises InvalidInput. What workers tell people is escaped and cut in place. `strict`: unknown fields are faults,
    too."""
    faults: list[Violation] = []
    for fault in _faults(request, "", strict):
        faults.append(fault)
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise InvalidInput(faults)


def unknown_fields(message: Message, path: str = "") -> Iterator[Violation]:
    """Fields on the wire that this program has no name for: what a newer client means would be left out unheard."""
    found: Any = UnknownFieldSet(message)
    for field in found:
        said = mismatch(f"the field number {field.field_number}, which this server does not know", "its own")
        yield Violation(field=path or "request", description=f"{said} (a newer client may know more)")


def _faults(message: Message, path: str, strict: bool) -> Iterator[Violation]:
    if strict:
        yield from unknown_fields(message, path)
    kind = message.DESCRIPTOR.name
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        if field.is_repeated:
            yield from _faults_of_many(kind, field, value, here, strict)
        elif field.message_type is None:
            fault = _fault_of(kind, field, value)
            if fault is not None:
                yield Violation(field=here, description=fault)
            elif isinstance(value, str) and (most := _told(kind, field.name)):
                setattr(message, field.name, escaped(value, most))
        elif field.message_type.full_name != SPEC:
            yield from _faults(value, here, strict)


def _faults_of_many(kind: str, field: Any, value: Any, here: str, strict: bool) -> Iterator[Violation]:
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    most = limits.COUNTS.get(field.name, limits.LARGEST_MAP if is_map else limits.LARGEST_LIST)
    if len(value) > most:
        yield Violation(field=here, description=mismatch(f"{len(value):,} entries", f"up to {most:,}"))
    elif is_map:
        of = field.message_type.fields_by_name["value"]
        for key, item in value.items():
            if len(str(key)) > limits.LARGEST_KEY or fault_of_text(str(key), Text.LINE):
                yield Violation(field=here, description=mismatch(f"the key {shown(str(key))}", "a short name"))
            elif of.message_type is None and (fault := _fault_of(kind, of, item, name=field.name)):
                yield Violation(field=f"{here}[{shown(str(key))}]", description=fault)
    else:
        for index, item in enumerate(value):
            if field.message_type is not None:
                yield from _faults(item, f"{here}[{index}]", strict)
            elif fault := _fault_of(kind, field, item):
                yield Violation(field=f"{here}[{index}]", description=fault)


def _fault_of(kind: str, field: Any, value: Any, *, name: str = "") -> str | None:
    """`name` of the limit where it is not the field's own: what a map holds has that of the map."""
    name = name or field.name
    if isinstance(value, str):
        line = limits.TEXTS.get(f"{kind}.{name}") or limits.TEXTS[name]
        if line.kind is not Text.TOLD and len(value) > line.most:
            return mismatch(shown(value), f"up to {line.most:,} characters")
        return fault_of_text(value, line.kind)
    if isinstance(value, bool | bytes) or field.enum_type is not None:
        return None  # a number of an enum that is not known is its converter's to refuse, which names the others
    low, high = limits.NUMBERS.get(f"{kind}.{name}") or limits.NUMBERS.get(name) or (0, limits.LARGEST_NUMBER)
    if not math.isfinite(value) or not low <= value <= high:
        return mismatch(repr(value), f"a finite number from {low:g} to {high:g}")
    return None


def _told(kind: str, name: str) -> int | None:
    line = limits.TEXTS.get(f"{kind}.{name}") or limits.TEXTS[name]
    return line.most if line.kind is Text.TOLD else None

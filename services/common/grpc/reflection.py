"""Descriptors for server reflection that are also found by the name of a method.

The reflection protocol lets a client ask for the file of any symbol, methods included (`file_containing_symbol` in
grpc/reflection/v1alpha/reflection.proto: "fully-qualified symbol name ... <package>.<service>[.<method>]"). Python's
descriptor pool knows services and messages but no methods, so clients that look a method up (ghz) heard NOT_FOUND.
"""

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor


class MethodsToo:
    """A descriptor pool, as the reflection servicer uses one, that finds the file of a method."""

    def __init__(self, pool: descriptor_pool.DescriptorPool | None = None) -> None:
        self._pool: Any = pool or descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - the pool's own name
        """The file of a service, message, enum, extension or method. Raises KeyError for anything else."""
        try:
            found: FileDescriptor = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service_name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(service_name)
            if method not in service.methods_by_name:
                raise
            found = service.file
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

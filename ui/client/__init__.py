"""The one typed client of the services, shared by the command and the control panel.

Only this package knows the generated protobuf code; outward go the frozen dataclasses of `views` and plain dicts.

    from ui.client import connect
    with connect() as client:
        for run in client.watch(client.create_run(spec_tree).id):
            print(run.state)

Importing this module does not import gRPC: `connect` does, so that `retain --help` stays quick.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from ui.client.address import Address
from ui.client.errors import BadInput, ClientError, Violation

if TYPE_CHECKING:
    from ui.client.client import RetainClient

__all__ = ["Address", "BadInput", "ClientError", "Violation", "connect"]


def connect(address: Address | None = None, *, project: str = "") -> "RetainClient":
    """A client of the stack that the environment names (see `Address.from_env`). Connects at the first call. What it
    submits belongs to `project`, where one is named."""
    from ui.client.client import RetainClient

    address = address or Address.from_env()
    return RetainClient(replace(address, project=project) if project else address)

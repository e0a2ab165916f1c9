"""The calls about projects: who shares an installation, and how much of it each may use."""

from typing import Any

import grpc

from retain.mapper import to_message
from retain.orchestrator.v1 import project_service_pb2 as pb
from retain.orchestrator.v1 import project_service_pb2_grpc as pb_grpc
from retain.values import Project, ProjectQuotas
from ui.client.address import Address
from ui.client.channel import mapped_errors
from ui.client.convert import to_view
from ui.client.credentials import Credentials

DEADLINE_S = 20.0
PAGE_SIZE = 500


class ProjectsClient:
    """A client of the orchestrator's projects, on the channel of its other services."""

    def __init__(self, address: Address, channel: grpc.Channel, credentials: Credentials) -> None:
        self._target = address.orchestrator
        self._credentials = credentials
        self._stub = pb_grpc.ProjectServiceStub(channel)

    def create(self, name: str, *, quotas: ProjectQuotas, weight: float | None = None) -> Project:
        """A new project. Raises ClientError."""
        request = pb.CreateProjectRequest(name=name, quotas=to_message(quotas, pb.ProjectQuotas), weight=weight)
        return to_view(Project, self._call(self._stub.CreateProject, request).project)

    def get(self, name: str) -> Project:
        """One, with what it uses. Raises ClientError."""
        return to_view(Project, self._call(self._stub.GetProject, pb.GetProjectRequest(name=name)).project)

    def all(self) -> list[Project]:
        """Those that this client's token may use, by name. Raises ClientError."""
        found, request = [], pb.ListProjectsRequest(page_size=PAGE_SIZE)
        while True:
            response = self._call(self._stub.ListProjects, request)
            found += [to_view(Project, row) for row in response.projects]
            if not response.next_page_token:
                return found
            request.page_token = response.next_page_token

    def update(self, name: str, *, quotas: ProjectQuotas | None = None, weight: float | None = None) -> Project:
        """Change quotas (all of them) or weight; None leaves them. Raises ClientError."""
        message = to_message(quotas, pb.ProjectQuotas) if quotas is not None else None
        request = pb.UpdateProjectRequest(name=name, quotas=message, weight=weight)
        return to_view(Project, self._call(self._stub.UpdateProject, request).project)

    def _call(self, method: Any, request: Any) -> Any:
        with mapped_errors(self._target):
            return method(request, timeout=DEADLINE_S, metadata=self._credentials.metadata())

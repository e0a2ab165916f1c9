"""ProjectService: convert, call, convert."""

from typing import Any

from retain.mapper import to_message
from retain.orchestrator.v1 import project_service_pb2 as pb
from retain.orchestrator.v1 import project_service_pb2_grpc as pb_grpc
from retain.values import Project as ProjectValue
from retain.values import ProjectQuotas, ProjectUse
from services.common.grpc.paging import page_of, page_size
from services.orchestrator.application.projects.project import Project
from services.orchestrator.application.projects.service import ProjectService

Context = Any


class ProjectServicer(pb_grpc.ProjectServiceServicer):
    """Projects, for users and admins."""

    def __init__(self, projects: ProjectService) -> None:
        self._projects = projects

    async def CreateProject(self, request: Any, context: Context) -> Any:  # noqa: N802
        limits = _limits(request.quotas)
        made = await self._projects.create(
            Project(
                name=request.name,
                weight=request.weight if request.HasField("weight") else 1.0,
                most_runs=limits["runs"],
                most_slots=limits["slots"],
                most_bytes=limits["bytes"],
            )
        )
        return pb.CreateProjectResponse(project=await self._shown(made))

    async def GetProject(self, request: Any, context: Context) -> Any:  # noqa: N802
        return pb.GetProjectResponse(project=await self._shown(self._projects.get(request.name)))

    async def ListProjects(self, request: Any, context: Context) -> Any:  # noqa: N802
        items, following = page_of(
            self._projects.listed(), size=page_size(request.page_size), token=request.page_token, of="projects"
        )
        return pb.ListProjectsResponse(projects=[await self._shown(one) for one in items], next_page_token=following)

    async def UpdateProject(self, request: Any, context: Context) -> Any:  # noqa: N802
        changed = await self._projects.update(
            request.name,
            weight=request.weight if request.HasField("weight") else None,
            limits=_limits(request.quotas) if request.HasField("quotas") else None,
        )
        return pb.UpdateProjectResponse(project=await self._shown(changed))

    async def _shown(self, project: Project) -> Any:
        use = await self._projects.use(project.name)
        shown = ProjectValue(
            name=project.name,
            quotas=ProjectQuotas(**project.limits),
            weight=project.weight,
            create_time_s=project.created_s,
            use=ProjectUse(runs=use.runs, slots=use.slots, bytes=use.bytes, waiting=use.waiting),
        )
        return to_message(shown, pb.Project)


def _limits(quotas: pb.ProjectQuotas) -> dict[str, int | None]:
    return {name: getattr(quotas, name) if quotas.HasField(name) else None for name in ("runs", "slots", "bytes")}

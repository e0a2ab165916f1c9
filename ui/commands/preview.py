"""Verb that looks at a spec's data on the server, as a run would read it: preview."""

from typing import Annotated

import typer

from ui.client import connect
from ui.commands.output import JsonFlag, console, emit
from ui.commands.runs import ProjectOption, SetOption, SpecArgument


def preview(
    spec: SpecArgument,
    stage: Annotated[int, typer.Option("--stage", min=0, help="Which stage, counted from 0.")] = 0,
    role: Annotated[
        str,
        typer.Option(
            "--role", help="general, domain, chat, or a further retention set. Default: what the stage learns."
        ),
    ] = "",
    documents: Annotated[int, typer.Option("--documents", min=1, max=10, help="So many documents are shown.")] = 3,
    changes: SetOption = None,
    project: ProjectOption = "",
    json: JsonFlag = False,
) -> None:
    """Real rows of a stage's data as the model reads them: tokens, which of them are learned, and how hard they are."""
    from ui.local.upload import place_local_sources
    from ui.render.data.preview import first_roles, preview_lines
    from ui.spec.file import load_spec
    from ui.spec.form.edit import value_at

    tree = load_spec(spec, changes or [])
    with connect(project=project) as client:
        place_local_sources(client, tree, spec, send=not client.address.is_loopback)
        asked = role or first_roles(list(value_at(tree, ("stages", stage, "data")) or ()))
        found = client.preview_data(tree, stage=stage, role=asked, documents=documents)
    if json:
        emit(found)
        return
    for line in preview_lines(found):
        console().print(line, soft_wrap=True, highlight=False, markup=False)


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(preview)

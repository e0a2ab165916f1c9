"""A contract for import-linter: modules that import nothing but what is listed, so that a new folder has to be let in.

    type = "only_imports"
    modules = ["services.common"]      # with everything below; they may import one another
    allowed = ["services.common.errors"]   # of this project
    third_party = false                # default true

Its own contracts list what is forbidden, and what nobody thought of is allowed.
"""

import sys
from typing import Any

import grimp
from importlinter import Contract, ContractCheck, fields, output

OURS = ("services", "model", "ui", "deploy", "retain", "tests")


class OnlyImports(Contract):
    """See the file. Only direct imports are looked at: what an allowed module imports is its own affair."""

    type_name = "only_imports"
    modules = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField())
    third_party = fields.BooleanField(required=False, default=True)

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        """Every import of the modules that is neither theirs nor allowed. Raises ValueError for an unknown module."""
        faults: list[tuple[str, str, Any]] = []
        for package in self.modules:  # type: ignore[attr-defined]
            if package not in graph.modules:
                raise ValueError(f"contract {self.name!r}: got the module {package}, which there is not")
            for importer in sorted({package, *graph.find_descendants(package)}):
                for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                    if not self._may(package, imported):
                        details = graph.get_import_details(importer=importer, imported=imported)
                        faults.append((importer, imported, details[0]["line_number"] if details else "?"))
        return ContractCheck(kept=not faults, metadata={"faults": faults})

    def _may(self, package: str, imported: str) -> bool:
        top = imported.partition(".")[0]
        if top not in OURS:
            return bool(self.third_party) or top in sys.stdlib_module_names
        allowed: list[str] = self.allowed  # type: ignore[assignment]
        return any(imported == name or imported.startswith(f"{name}.") for name in (package, *allowed))

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Each fault on a line, with its place."""
        for importer, imported, line in check.metadata["faults"]:
            output.print_error(f"{importer} imports {imported} (line {line})", bold=False)
        output.new_line()

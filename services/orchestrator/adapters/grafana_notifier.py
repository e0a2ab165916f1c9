"""Decisions as annotations in Grafana: the notifier that main wires in when RETAIN_GRAFANA_URL is set."""

from retain.values import Decision
from services.common.errors import Unavailable
from services.common.grafana_annotations import GrafanaAnnotations
from services.orchestrator.application.ports import Notifier


class GrafanaNotifier(Notifier):
    """Draws each decision once Grafana takes it; until then the reconcile loop asks again, with growing pauses."""

    def __init__(self, annotations: GrafanaAnnotations) -> None:
        self._annotations = annotations

    def annotate(self, decision: Decision) -> None:
        """Raises Unavailable when Grafana did not take it."""
        drawn = self._annotations.draw(
            f"{decision.verdict.name}: {decision.message}",
            tags=[f"run:{decision.run_id}", f"stage:{decision.stage}", f"decision:{decision.number}"],
            time_s=decision.time_s,
        )
        if not drawn:
            raise Unavailable(f"Grafana did not take the annotation of decision {decision.number}")

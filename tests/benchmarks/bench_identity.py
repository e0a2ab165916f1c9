"""What it costs to know a caller, per call: the door alone, in one process, with the key set cached.

Goal: under 0.3 ms for an API token and for a signed token of an identity provider. A person sends one token many times;
the last lines show a signature that is new in every call.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey
from sqlalchemy import Engine

from services.common.identity.access import Guarded
from services.common.identity.claims import DEFAULT_ROLES, ClaimsMap, roles_of
from services.common.identity.key_set import KeySet, from_provider
from services.common.identity.oidc import OidcTokens
from services.common.identity.tokens import FirstOf
from services.orchestrator.adapters.database import migrate, open_database
from services.orchestrator.adapters.identity_records import SqlIdentity
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.application.audit import Auditor
from services.orchestrator.application.identity import IdentityService
from services.orchestrator.application.run_store import RunStore, SystemClock
from tests.identity import ADMIN, KNOWN
from tests.identity_provider import COMMAND, Provider, provider

METHOD = "/retain.orchestrator.v1.OrchestratorService/GetPipelineRun"
CALLS, API_TOKENS, GOAL_MS = 2000, 1000, 0.3


async def api_tokens(engine: Engine) -> tuple[IdentityService, str]:
    """A service that knows many, and one of them."""
    records = SqlIdentity(engine)
    store = RunStore(SqlRepository(engine), ThreadPoolExecutor(1), SystemClock())
    identity = IdentityService(store, records, Auditor(store, records))
    await identity.load()
    for number in range(API_TOKENS):
        _, secret = await identity.create_token(f"t{number}", ("operator",), lifetime_s=0, created_by="bench")
    return identity, secret


def people(made: Provider) -> OidcTokens:
    """As settings put it together."""
    claims = ClaimsMap(name_claim="sub", roles_claim="groups", roles=roles_of(DEFAULT_ROLES))
    return OidcTokens(KeySet(from_provider(made.issuer)), claims, issuer=made.issuer, audience=(COMMAND,))


async def measured(access: Guarded, tokens: Sequence[str]) -> tuple[float, float, float]:
    """Wall-clock p50 and p99, and processor time per call, in milliseconds; the tokens in turn."""
    await access.admitted(METHOD, f"Bearer {tokens[-1]}")
    took, before_s = [], time.process_time()
    for number in range(CALLS):
        header = f"Bearer {tokens[number % len(tokens)]}"
        start = time.perf_counter()
        await access.admitted(METHOD, header)
        took.append(1000 * (time.perf_counter() - start))
    cpu_ms = 1000 * (time.process_time() - before_s) / CALLS
    took.sort()
    return took[CALLS // 2], took[int(0.99 * CALLS)], cpu_ms


async def table(engine: Engine, made: Provider) -> bool:
    """Measure and print; whether the goal was met."""
    identity, api = await api_tokens(engine)
    access = Guarded(FirstOf([KNOWN, people(made), identity]))
    elliptic = ECKey.generate_key("P-256", parameters={"use": "sig", "alg": "ES256"}, auto_kid=True)
    made.published.append(elliptic)
    groups = ["retain-operator", *(f"group-{number}" for number in range(30))]
    rsa: dict[str, Any] = {"groups": groups}
    ec: dict[str, Any] = {**rsa, "key": elliptic, "header": {"alg": "ES256"}}
    tokens = {
        "installation's token": [ADMIN],
        f"API token of {API_TOKENS:,}": [api],
        "signed, RS256": [made.token(**rsa)],
        "signed, ES256": [made.token(**ec)],
        "RS256, each call another": [made.token(f"p{number}", **rsa) for number in range(CALLS)],
        "ES256, each call another": [made.token(f"p{number}", **ec) for number in range(CALLS)],
    }
    print(f"{'caller':25} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}")
    met = True
    for name, sent in tokens.items():
        p50, p99, cpu = await measured(access, sent)
        met &= cpu < GOAL_MS or len(sent) > 1
        print(f"{name:25} {p50:8.4f} {p99:8.4f} {cpu:8.4f}")
    print(f"goal: under {GOAL_MS} ms of processor time a call: {'met' if met else 'NOT MET'}")
    await identity.close()
    return met


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, provider() as made:
        engine = open_database(f"sqlite:///{Path(folder) / 'bench.db'}")
        migrate(engine)
        asyncio.run(table(engine, made))
        engine.dispose()


if __name__ == "__main__":
    main()

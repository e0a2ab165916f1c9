"""Access to a part of the bucket, for a while: keys that a policy narrows, which end by themselves.

A worker runs what people gave it, so the keys that it holds are worth as much as what they open. A store that speaks
STS (MinIO, SeaweedFS, AWS) makes keys for a policy that goes along with the question, and enforces it. Whoever asks
holds keys that open everything; they stay here.
"""

import os
import re
from datetime import UTC, datetime, timedelta

import urllib3
from minio.credentials import AssumeRoleProvider
from urllib3.exceptions import HTTPError

from retain.values.faults import mismatch
from services.common.errors import FailedPrecondition, InvalidInput, Unavailable, Violation
from services.common.store.connection import store_address, trusting
from services.common.store.policies import Policy, text_of
from services.common.store.store_keys import StoreKeys

SHORTEST_S, LONGEST_S = 900, 43_200  # what STS takes
TIMEOUT_S = 10.0


class NarrowAccess:
    """Asks a store for narrower keys than its own. `sts_endpoint` and `role_arn` only where the store has them
    elsewhere (AWS)."""

    def __init__(
        self, endpoint: str, *, access_key: str, secret_key: str, region: str = "us-east-1",
        role_arn: str | None = None, lives_s: int = 3600, ca_bundle: str | None = None,
    ) -> None:  # fmt: skip
        store_address(endpoint, "RETAIN_STS_ENDPOINT")
        if not SHORTEST_S <= lives_s <= LONGEST_S:
            said = mismatch(lives_s, f"{SHORTEST_S} to {LONGEST_S} s")
            raise InvalidInput([Violation(field="RETAIN_STORE_KEYS_S", description=said)])
        self._endpoint, self._region, self._role_arn, self._lives_s = endpoint, region, role_arn, lives_s
        self._access_key, self._secret_key = access_key, secret_key
        self._trusting = trusting(ca_bundle)

    @classmethod
    def from_env(cls) -> "NarrowAccess":
        """Read RETAIN_STS_ENDPOINT (default: RETAIN_S3_ENDPOINT), RETAIN_STS_ROLE, RETAIN_STORE_KEYS_S (default: an
        hour), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_CA_BUNDLE. Raises InvalidInput."""
        said = os.environ.get("RETAIN_STORE_KEYS_S") or "3600"
        return cls(
            os.environ.get("RETAIN_STS_ENDPOINT") or os.environ.get("RETAIN_S3_ENDPOINT", ""),
            access_key=os.environ.get("AWS_ACCESS_KEY_ID", ""),
            secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
            region=os.environ.get("AWS_REGION") or "us-east-1",
            role_arn=os.environ.get("RETAIN_STS_ROLE") or None,
            lives_s=int(said) if said.isdecimal() else 0,
            ca_bundle=os.environ.get("AWS_CA_BUNDLE") or None,
        )

    def issue(self, policy: Policy, name: str) -> StoreKeys:
        """Keys that open what the policy says and nothing else. Blocks.

        Raises FailedPrecondition (NO_STS) where the store makes no such keys, Unavailable when it does not answer."""
        provider = AssumeRoleProvider(
            sts_endpoint=self._endpoint,
            access_key=self._access_key,
            secret_key=self._secret_key,
            duration_seconds=self._lives_s,
            policy=text_of(policy),
            region=self._region,
            role_arn=self._role_arn,
            role_session_name=re.sub(r"[^A-Za-z0-9-]", "-", f"retain-{name}")[:64],
            http_client=urllib3.PoolManager(timeout=TIMEOUT_S, retries=False, **self._trusting),
        )
        try:
            found = provider.retrieve()
        except HTTPError as error:
            raise Unavailable(
                f"the object store at {self._endpoint} does not answer", reason="STORE_UNAVAILABLE"
            ) from error
        except Exception as error:  # the library raises ValueError, S3Error or an XML error, as the store's page is
            raise FailedPrecondition(
                f"the object store at {self._endpoint} makes no narrow keys ({type(error).__name__}); a store without "
                "STS needs keys of their own for the workers' machines (deploy/docs/operations.md)",
                reason="NO_STS",
            ) from error
        ends = found.expiration or datetime.now(UTC) + timedelta(seconds=self._lives_s)
        return StoreKeys(
            access_key=found.access_key,
            secret_key=found.secret_key,
            session_token=found.session_token or "",
            expire_s=ends.replace(tzinfo=ends.tzinfo or UTC).timestamp(),
        )

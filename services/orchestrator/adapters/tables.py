"""Tables of the orchestrator's database. Bodies are JSON (adapters/codec.py); columns beside them are for search."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(96), nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("queue_number", Integer, nullable=False),
    Column("attention", Boolean, nullable=False),
    Column("request_id", String(128), unique=True),
    Column("request_digest", String(64)),
    Column("base_uri", Text),
    Column("body", Text, nullable=False),
    Column("project", String(24), nullable=False, server_default="default"),
    Index("runs_by_status", "status", "number"),
    Index("runs_by_project", "project", "number"),
    Index("runs_by_attention", "attention"),
)

# What runs are searched by, apart from their bodies, which are large: see adapters/persistence/run_search.py.
run_texts = Table(
    "run_texts",
    metadata,
    Column("run_id", String(96), primary_key=True),
    Column("text", Text, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("run_id", String(96), nullable=False),
    Column("uri", Text, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_s", Float, nullable=False),
    Column("body", Text, nullable=False),
    Column("project", String(24), nullable=False, server_default="default"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Index("checkpoints_by_run", "run_id", "number"),
    Index("checkpoints_by_project", "project", "number"),
    Index("checkpoints_by_uri", "uri"),
    Index("checkpoints_by_manifest", "manifest_sha256"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("run_id", String(96), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

# Figures of runs as they train, in the bounded number that domain/metrics/points.py keeps of them.
metric_points = Table(
    "metric_points",
    metadata,
    Column("run_id", String(96), primary_key=True),
    Column("stage_index", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("time_s", Float, nullable=False),
    Column("figures", Text, nullable=False),
)

# Files that clients were given an upload URL for: their hashes are needed when the folder is imported.
uploads = Table(
    "uploads",
    metadata,
    Column("folder", String(128), primary_key=True),
    Column("file_name", String(255), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("asked_s", Float, nullable=False, server_default="0"),
    Column("project", String(24), nullable=False, server_default="default"),
)

# Who shares the installation, and how much of it each may use; NULL: as much as there is.
projects = Table(
    "projects",
    metadata,
    Column("name", String(24), primary_key=True),
    Column("weight", Float, nullable=False),
    Column("most_runs", Integer),
    Column("most_slots", Integer),
    Column("most_bytes", BigInteger),
    Column("created_s", Float, nullable=False),
)

# Checkpoints that other projects than their own may use.
shares = Table(
    "shares",
    metadata,
    Column("checkpoint_id", String(255), primary_key=True),
    Column("project", String(24), primary_key=True),
)

# What is known of this installation as a whole: whose the bucket is.
facts = Table("facts", metadata, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False))

# Prefixes in the store that nobody refers to any more; the reconcile loop deletes what is under them.
garbage = Table("garbage", metadata, Column("uri", String(512), primary_key=True))

# Tokens of people and programs: what is sent is not kept, its digest is.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("roles", String(255), nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False),
    Column("last_used_s", Float),
    Column("revoked_s", Float),
    Column("projects", Text, nullable=False, server_default="default"),
)

# Codes that jobs were started with, and the token that each was redeemed for.
worker_tokens = Table(
    "worker_tokens",
    metadata,
    Column("code_digest", String(64), primary_key=True),
    Column("run_id", String(96), nullable=False),
    Column("submission", Integer, nullable=False),
    Column("code_expires_s", Float, nullable=False),
    Column("digest", String(64)),
    Column("used_s", Float),
    Column("revoked_s", Float),
    Index("worker_tokens_by_run", "run_id", "submission"),
)

# Who did what. Rows are added and never changed.
audit_events = Table(
    "audit_events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("time_s", Float, nullable=False),
    Column("subject", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("peer", String(255), nullable=False),
    Column("action", String(128), nullable=False),
    Column("resource", String(255), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("before", String(255), nullable=False),
    Column("after", String(255), nullable=False),
    Index("audit_events_by_subject", "subject", "number"),
    Index("audit_events_by_resource", "resource", "number"),
    Index("audit_events_by_action", "action", "number"),
    Index("audit_events_by_time", "time_s"),
)

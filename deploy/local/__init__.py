"""The local stack: object store, Ray, evaluator, orchestrator and panel on one machine, without root or containers.

    python -m deploy.local up [--foreground] [--json]    start what is not running, return when all of it is healthy
                           --listen 0.0.0.0              orchestrator and evaluator for other machines too, with TLS
                           --only object_store,ray       of the five only these (for tests and for development); those
                                                         that run already continue
    python -m deploy.local down                          stop it; the state stays in RETAIN_HOME
    python -m deploy.local status [--json]               what runs where
    python -m deploy.local supervise                     the supervisor itself, in the foreground

`up` starts a supervisor that outlives it. The supervisor starts the five programs, starts a dead one again, and ends
them in order when it is told to. It never looks for a process by name: each is known by its pid and its start time, and
by a mark in its environment, so that nothing of ours is left when a supervisor was killed or a record is lost.

RETAIN_HOME (default `.retain`) holds everything:

    stack.json         endpoints: where clients look for the orchestrator
    processes.json     state, pid and start time of each program, as the supervisor sees them
    ports.json         the ports of the last start, taken again while they are free
    credentials.json   keys of the object store, mode 600
    ray_token          token of Ray, mode 600
    logs/              one file for each program
    objects/           data of the object store
    seaweedfs.json     its identities; seaweedfs-tls/ the certificates of its parts, made at each start; mode 600
    retain.db          database of the orchestrator
    tls/               with --listen: an authority, certificates, and clients/ca.crt for clients elsewhere
"""

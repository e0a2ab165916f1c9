"""How often something is tried before a person is needed: the one home of these numbers."""

MAX_RESTARTS = 5  # worker groups that end without a new checkpoint between them; the setting RETAIN_MAX_JOB_RESTARTS
MAX_EVALUATION_TRIES = 4  # of one checkpoint or point

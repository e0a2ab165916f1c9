"""Trackers: a pipeline run shown in MLflow, Weights & Biases or TensorBoard (`retain track`).

A follower beside the platform, never in the training: it reads what the orchestrator keeps with the run (series,
decisions, accepted checkpoints) and hands on what the tracker does not have yet. So training waits for no tracker, one
that is away loses nothing, and a follower that is started again, or late, sends no point twice.
"""

"""Deployment over ssh: the check of the target, the payload, releases, rollout and rollback."""

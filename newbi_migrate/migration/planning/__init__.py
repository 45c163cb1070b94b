"""Deciding everything a run would do, without a write."""

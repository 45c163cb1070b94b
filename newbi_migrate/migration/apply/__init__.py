"""Carrying a plan out: users first, then documents, then indexes."""

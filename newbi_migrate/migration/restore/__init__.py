"""Bringing a dump back: its target, inserting, and the use-case."""

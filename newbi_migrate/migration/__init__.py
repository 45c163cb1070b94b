"""The use-cases: survey, plan, apply, status."""

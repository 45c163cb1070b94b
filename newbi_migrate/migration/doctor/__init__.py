"""The use-case ``doctor``: whether a database, its server and its surroundings are ready."""

from newbi_migrate.migration.doctor.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]

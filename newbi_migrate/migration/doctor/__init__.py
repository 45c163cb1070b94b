"""The use-case ``doctor``: whether a database, its server and its surroundings are ready."""

from newbi_migrate.migration.doctor.diagnosis import Diagnosis, diagnose
from newbi_migrate.migration.doctor.rights import Purpose

__all__ = ["Diagnosis", "Purpose", "diagnose"]

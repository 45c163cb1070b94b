"""The use-case ``doctor``: whether a database, its server and its surroundings are ready.

It changes when what a host needs of it does.
"""

from newbi_migrate.migration.doctor.diagnosis import Diagnosis, diagnose
from newbi_migrate.migration.doctor.rights import Purpose

__all__ = ["Diagnosis", "Purpose", "diagnose"]

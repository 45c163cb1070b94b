"""Backups in mongodump's own format: written, verified, compared and restored.

``backup_database`` is in :mod:`~newbi_migrate.backup.writer`, ``verify_backup`` and
``compare_backup`` in :mod:`~newbi_migrate.backup.verify`, ``restore_backup`` in
:mod:`~newbi_migrate.backup.restore`.
"""

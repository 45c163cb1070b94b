"""Backups in mongodump's own format: written, verified, compared and restored.

``backup_database`` is in :mod:`~newbi_migrate.backup.writer`, ``verify_backup`` in
:mod:`~newbi_migrate.backup.verify`, ``compare_backup`` in :mod:`~newbi_migrate.backup.compare`,
``restore_backup`` in :mod:`~newbi_migrate.backup.restore`; all can be imported from
``newbi_migrate`` itself.
"""

"""Backups in mongodump's own format: written, verified and compared.

``backup_database`` is in :mod:`~newbi_migrate.backup.writer`, ``verify_backup`` in
:mod:`~newbi_migrate.backup.verify`, ``compare_backup`` in :mod:`~newbi_migrate.backup.compare`; all
can be imported from ``newbi_migrate`` itself. ``restore_backup`` is a use-case that writes, in
:mod:`~newbi_migrate.migration.restore.run`.
"""

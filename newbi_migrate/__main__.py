"""``python -m newbi_migrate``."""

from newbi_migrate.cli import main

if __name__ == "__main__":
    main()

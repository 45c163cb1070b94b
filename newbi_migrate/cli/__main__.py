"""``python -m newbi_migrate.cli``."""

from newbi_migrate.cli import main

if __name__ == "__main__":
    main()

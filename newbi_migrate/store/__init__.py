"""MongoDB: connection, leased session, runs, journal, raw streams, stamping, undoing, indexes."""

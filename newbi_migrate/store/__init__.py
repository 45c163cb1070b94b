"""The only place that talks to MongoDB: connection, lease, indexes, journal, raw streams."""

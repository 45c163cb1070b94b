"""The whole run book on a copy that a backup gives, before the night."""

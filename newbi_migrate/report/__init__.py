"""One result, several faces."""

"""What a document is: plain models, their rules, and the registry of collections as data."""

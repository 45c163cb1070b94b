"""The use-cases, a folder each, and the facade in front of them."""

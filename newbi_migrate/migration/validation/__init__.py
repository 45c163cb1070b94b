"""The parts of a validation: what is asked, of whom, and what is kept of the answers."""

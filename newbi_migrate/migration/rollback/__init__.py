"""Taking runs back: exactly what a run wrote, and nothing else."""

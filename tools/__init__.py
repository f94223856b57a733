"""What developers run from the repository: benchmarks, pictures, recordings; not installed."""

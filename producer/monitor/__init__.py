"""What Redis holds of runs and workers, as Prometheus metrics: read only, and only when somebody asks."""

"""What datasets are set beside: Stable-Baselines3, other networks, other trainings; the reports."""

"""Publishing and downloading distilled datasets; imported as ``distilled_envs.hub``."""

"""How a check reaches the pipeline: thin adapters around ``Pipeline.check``."""

"""The state store's schema, step by step. Each step stands in `versions/`, numbered; a released step never changes."""

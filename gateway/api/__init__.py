"""The JSON API under /v1: one module per noun, each with its models and a table of its routes."""

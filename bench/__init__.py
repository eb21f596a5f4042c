"""Measurements, each as a ratio against a named limit in the same run; machines are noisy, ratios are less so."""

"""Benchmarks: sealrun beside the tools that people use today, on the same bytes, in the same run."""

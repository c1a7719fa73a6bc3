"""Content that others understand: schemas, tables, signatures, and engines that compute."""

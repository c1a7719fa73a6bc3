"""What every protocol asks of a store: certainty, time, whole objects, attempts, and whether a registry is one."""

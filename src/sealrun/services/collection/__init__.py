"""The collector: what nothing needs is condemned, looked at again, and deleted."""

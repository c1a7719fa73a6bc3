"""The daemon put together: parts, timers, and what serves and tells of them."""

"""A plain correct implementation: an engine without clock or socket, and a QMP server around it."""

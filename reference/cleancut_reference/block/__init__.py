"""Drives, guest requests, targets and faults."""

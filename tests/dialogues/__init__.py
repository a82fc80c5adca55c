"""Recorded dialogues of QEMU, held again with the reference engine, and what differs."""

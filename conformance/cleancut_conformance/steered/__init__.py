"""A schedule on a real QEMU, steered from outside as far as that goes."""

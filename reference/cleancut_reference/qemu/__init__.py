"""`cleancut-qemu`: the reference server under the command line of qemu-system-x86_64."""

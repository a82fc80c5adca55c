"""NBD: the protocol as bytes in and bytes out, and a server around it."""

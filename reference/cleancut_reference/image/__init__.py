"""Disk images: raw and qcow2, on any store of bytes. Nothing here touches a file or a clock."""

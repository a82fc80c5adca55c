"""The qcow2 image format, version 3. `metadata.py` says what is written when."""

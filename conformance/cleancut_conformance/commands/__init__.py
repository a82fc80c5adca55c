"""The suite's commands, one module each."""

"""The chapters of the protocol: each a group of actions of `cleancut_model.backup.Backup`."""

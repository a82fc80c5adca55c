"""Backup jobs: their life and their copying."""

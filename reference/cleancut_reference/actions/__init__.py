"""The kinds of action that a transaction can have, each in a file of its own."""

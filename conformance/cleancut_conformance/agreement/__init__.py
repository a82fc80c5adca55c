"""Engine and model side by side: the one package of the suite that sees both."""

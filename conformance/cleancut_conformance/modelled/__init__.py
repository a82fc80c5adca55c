"""The judge that follows the model: which of its states a recorded dialogue leaves possible."""

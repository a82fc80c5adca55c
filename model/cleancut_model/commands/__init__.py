"""The commands of the model: `cleancut prove`, `cleancut explore`, `cleancut export`."""

from cleancut_model.commands.exploring import explore
from cleancut_model.commands.exporting import export
from cleancut_model.commands.proving import prove

__all__ = ["explore", "export", "prove"]

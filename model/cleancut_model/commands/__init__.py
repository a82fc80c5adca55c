"""The commands of the model: `cleancut prove`, `explore`, `liveness` and `export`."""

from cleancut_model.commands.exploring import explore
from cleancut_model.commands.exporting import export
from cleancut_model.commands.liveness import liveness
from cleancut_model.commands.proving import prove

__all__ = ["explore", "export", "liveness", "prove"]

"""The bugs of the model that the engine cannot have, and why."""

from typing import Final

#: By the name of the model's bug.
NOT_OF_THE_ENGINE: Final[dict[str, str]] = {
    "drained-for-ever": "what the engine has drained is in the memory of a process that ends",
    "error-dropped": "the engine makes a job of an open target only, and a failed action has none",
    "snapshot-late": "the engine takes a snapshot as one of the actions that it commits in turn",
    "cleared-late": "the engine clears a bitmap in prepare, under the drain, and not at the commit",
    "broken-but-kept": "the engine is followed as a 7.2, which has no on-cbw-error; a case "
    "catches completes_a_broken_backup, which is like an 11",
    "top-too-early": "the engine asks the top image in steps of prepare, which none takes before "
    "the drive is quiet: no-drain is the engine's form of this bug, too",
    "bitmap-trusted": "the engine's bitmaps in memory end with the process; what is stored in "
    "qcow2 images is marked in use, which its own tests of crashes check",
    "bitmap-before-drain": "the engine freezes a bitmap when it makes the job, with the target "
    "open and the drive quiet: there is no earlier step that knows the bitmap",
}

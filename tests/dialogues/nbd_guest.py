"""A real NBD client of the engine's exports, without sockets: both sides of the protocol, the
engine working between them."""

from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlsplit

from cleancut_reference.block.traffic import GuestOp
from cleancut_reference.nbd.client import Client
from cleancut_reference.nbd.remote import Remote
from cleancut_reference.nbd.stream import Dialogue
from cleancut_reference.outputs import GuestDone
from cleancut_reference.qemu_io import IoCommand, parse, report
from cleancut_reference.state import State


class NbdGuest:
    """One connection; `work` lets the engine go on for a step."""

    def __init__(self, state: State, url: str, work: Callable[[], None]) -> None:
        self._client = Client(state)
        self._remote = Remote(urlsplit(url).path.removeprefix("/"))
        self._work = work
        self._owned: set[int] = set()
        self._hold(self._remote.greet())

    def qemu_io(self, line: str) -> str:
        """Do what a command of qemu-io says; what that prints, but for speed."""
        command = parse(line)
        assert isinstance(command, IoCommand)
        data = b""
        if command.op is GuestOp.READ:
            read = self._remote.read(command.offset_bytes, command.length_bytes)
            data = self._hold(read)
        else:
            assert command.op is GuestOp.WRITE
            self._hold(self._remote.write(command.offset_bytes, command.data()))
        return report(command, "", data, 0)

    def finished(self, done: GuestDone) -> bool:
        """A request has ended; false if it is another's."""
        if done.request not in self._owned:
            return False
        self._owned.remove(done.request)
        if (flush := self._client.finished(done)) is not None:
            self._owned.add(flush)
        return True

    def hang_up(self) -> None:
        self._client.hang_up()

    def _hold(self, dialogue: Dialogue[NoReturn, Any]) -> Any:
        received = b""
        try:
            wanted = next(dialogue)
            while True:
                self._client.receive(self._remote.data_to_send())
                while len(received) < wanted:
                    self._owned |= set(self._client.work())
                    received += self._client.data_to_send()
                    if len(received) < wanted:
                        self._work()
                piece, received = received[:wanted], received[wanted:]
                wanted = dialogue.send(piece)
        except StopIteration as end:
            return end.value

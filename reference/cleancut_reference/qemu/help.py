"""What `cleancut-qemu` prints when it is asked for help. Pure."""

from typing import Final

from cleancut_reference.block.drivers import DRIVERS
from cleancut_reference.commands import PACKAGE
from cleancut_reference.qemu.machines import ACCELERATORS, device_help, machine_help
from cleancut_spec.profiles import DEFAULT, Profile

USAGE: Final = """\
usage: cleancut-qemu [options of qemu-system-x86_64]

Serves drives over QMP, with transactional backups, as QEMU 7.2 does, for harnesses that start
qemu-system-x86_64. There is no guest: options of its processor and memory have no meaning.

  -machine TYPE, -M TYPE, -accel NAME     none, pc, q35; tcg, kvm, qtest
  -drive if=none,id=d0,file=…,format=…    a drive; also driver.*, file.*, json:
  -blockdev OPTIONS|JSON                  a node
  -object OPTIONS|JSON                    a throttle-group or iothread
  -device MODEL,drive=d0                  give a drive to a device of the guest
  -qmp unix:PATH[,server=on,wait=off]     talk QMP over a unix socket; or -qmp stdio
  -chardev socket,id=m,path=…|fd=…[,server=on]  -mon chardev=m,mode=control
  -qtest unix:PATH                        connect, and stay silent
  -S  -pidfile FILE  -version
  -nodefaults -nographic -display none -vga none -serial none -monitor none   accepted

and its own:
  -image-root DIR   QMP commands reach files under DIR only; without it, those under the current
                    directory and the directories of files that the command line opens for writing
  -fault 'd0.target write 3 ENOSPC'       an I/O error to inject; may be repeated
  -profile VERSION  be like QEMU 2013, 5.2, 7.2, 10.0 or 11 (default: 7.2)
  -clock instant    every wait is over at once; with manual only `clock_step` moves time
  -seed N           order all steps by a random generator with this seed

exit status: 0 after quit, SIGTERM, SIGINT or SIGHUP; 1 for a wrong command line

example:
  cleancut-qemu -M none -nodefaults -display none -qmp unix:qmp.sock,server=on,wait=off \\
    -drive if=none,id=d0,file=disk.img,format=raw
"""


def help_text(topic: str, profile: Profile = DEFAULT) -> str:
    """What to print about a topic of `Plan.wants_help`."""
    match topic:
        case "machine":
            return machine_help()
        case "device":
            return device_help()
        case "accel":
            return "\n".join(["Accelerators supported in QEMU binary:", *ACCELERATORS, ""])
        case "chardev":
            return "Available chardev backend types: \n  stdio\n  socket\n  null\n"
        case "formats":
            names = " ".join(sorted(DRIVERS.keys() - {"memory"}))
            return f"Supported formats: {names}\nSupported formats (read-only): {names}\n"
        case "version":
            return f"QEMU emulator version {profile.version} ({PACKAGE})\n"
        case _:
            return USAGE

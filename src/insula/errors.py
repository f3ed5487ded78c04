"""The family of errors: each states what, value, rule and remedy in one line, and carries its exit code.

InsulaError                 70  never raised itself
|-- UsageError               2  the call is wrong
|-- BadData                 65  the input cannot be trusted
|   `-- TooLarge            65  the input exceeds a size limit
|-- NoInput                 66  the input is not there
|-- Unavailable             69  a device, an extra or a service is missing
|-- InternalBug             70  a bug in insula
|-- CannotCreate            73  the output cannot be made
|-- IOFault                 74  reading or writing failed midway
|-- Preempted               75  stopped early, to be resumed
`-- NoPermission            77  the operating system forbids it

Interrupted           130, 143  stopped by a signal; no InsulaError, so that nothing goes on after it
"""

from __future__ import annotations

import errno
from typing import ClassVar

__all__ = [
    "BadData",
    "CannotCreate",
    "IOFault",
    "InsulaError",
    "InternalBug",
    "Interrupted",
    "NoInput",
    "NoPermission",
    "Preempted",
    "TooLarge",
    "Unavailable",
    "UsageError",
    "as_insula_error",
    "from_os_error",
    "place_of",
]


class InsulaError(Exception):
    """A refusal in four parts that read as one sentence: `{what} {value} {rule}; {remedy}`.

    Args:
        what: the thing that is wrong, as the user would name it.
        value: the offending value.
        rule: the rule that it breaks.
        remedy: what to do next.

    Example:
        >>> str(UsageError("patch", "90 on axis i", "is not divisible by 16 (4 down-samplings)", "use 80 or 96"))
        'patch 90 on axis i is not divisible by 16 (4 down-samplings); use 80 or 96'
    """

    code: ClassVar[int] = 70

    def __init__(self, what: str, value: object, rule: str, remedy: str) -> None:
        self.what, self.value, self.rule, self.remedy = what, str(value), rule, remedy
        super().__init__(" ".join(f"{what} {value} {rule}; {remedy}".split()))

    def about(self, where: str, *, remedy: str | None = None) -> InsulaError:
        """Returns this error with a location in front of it, and with another remedy if one is given."""
        return type(self)(f"{where}: {self.what}", self.value, self.rule, remedy or self.remedy)

    def without_value(self, *, remedy: str | None = None) -> InsulaError:
        """Returns this error without its value, which can name a file, and with another remedy if one is given."""
        return type(self)(self.what, "", self.rule, remedy or self.remedy)

    def __reduce__(self) -> tuple[type[InsulaError], tuple[str, str, str, str]]:
        return type(self), (self.what, self.value, self.rule, self.remedy)


class UsageError(InsulaError):
    """The call itself is wrong: a flag, a value, a combination."""

    code = 2


class BadData(InsulaError):
    """The input is damaged, ambiguous or not what the job needs."""

    code = 65


class TooLarge(BadData):
    """The input is larger than the limit, or would unpack to more."""


class NoInput(InsulaError):
    """The input does not exist or is empty."""

    code = 66


class Unavailable(InsulaError):
    """A device, an optional package or a resource is missing."""

    code = 69


class InternalBug(InsulaError):
    """A state that should be impossible was reached."""

    code = 70


class CannotCreate(InsulaError):
    """The output cannot be created, or the disk is full."""

    code = 73


class IOFault(InsulaError):
    """Reading or writing failed midway."""

    code = 74


class Preempted(InsulaError):
    """The run was stopped early; its progress is saved and continues when it is resumed."""

    code = 75


class NoPermission(InsulaError):
    """The operating system forbids it."""

    code = 77


class Interrupted(BaseException):
    """The run was stopped by a signal; the exit code is 128 + the signal's number.

    Like KeyboardInterrupt no `Exception`: a step that goes on after any error must not take a signal for one.
    """

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"the run was stopped by signal {signal_number}; results already named are complete")

    @property
    def exit_code(self) -> int:
        """Exit code that a shell reports: 128 + the signal's number."""
        return 128 + self.signal_number

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        return type(self), (self.signal_number,)


_NO_ROOM = {errno.ENOSPC: "no space is left on the disk", errno.EDQUOT: "the disk quota is used up"}
_CANNOT = {
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.EISDIR: "a folder stands where the file should go",
    errno.EEXIST: "a file stands where the folder should go",
    errno.ENOENT: "a folder of the path does not exist",
    errno.EFBIG: "the file would exceed the size limit of this process",
}


def from_os_error(error: OSError, *, what: str, value: object, writing: bool) -> InsulaError:
    """Convert an `OSError` into an error of this family.

    The same errno means different exit codes when reading and when writing.

    Args:
        error: the operating system's error.
        what: the thing that failed, e.g. `"the output file"`.
        value: its name as the user gave it, or empty.
        writing: whether it was being written.

    Returns:
        NoPermission, CannotCreate, NoInput, UsageError or IOFault; it is not raised here.
    """
    number = error.errno or 0
    reason = error.strerror or type(error).__name__
    if number in (errno.EACCES, errno.EPERM):
        return NoPermission(
            what, value, f"is not allowed ({reason})", "check the permissions of the file and its folder"
        )
    if writing and number in _NO_ROOM:
        return CannotCreate(
            what, value, f"cannot be written: {_NO_ROOM[number]}", "free some space or choose another `out`"
        )
    if writing and number in _CANNOT:
        return CannotCreate(what, value, f"cannot be written: {_CANNOT[number]}", "choose another `out`")
    if number == errno.ELOOP:
        return NoInput(what, value, "is a loop of symbolic links", "name the real file")
    if number == errno.ENOENT:
        return NoInput(what, value, "does not exist", "check the spelling and the folder")
    if number == errno.EISDIR:
        return UsageError(what, value, "is a folder", "name a file")
    verb = "written" if writing else "read"
    return IOFault(what, value, f"could not be {verb} ({reason})", "check the disk or the network share and run again")


def as_insula_error(error: Exception) -> InsulaError:
    """Convert any exception into an error of this family; an exception that fits no class is an InternalBug.

    A bug is reported by its type and location, never by its text: that can hold a patient's name or date.

    Args:
        error: the exception that was raised.
    """
    if isinstance(error, InsulaError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Unavailable("memory", "", "ran out", "try `low_memory`, or `device=cpu`, or close other programs")
    if isinstance(error, OSError):
        return from_os_error(error, what="the file", value=error.filename or "", writing=False)
    return InternalBug(
        type(error).__name__, f"at {_where(error)}", "is a bug in insula", "run again with `debug` and report it"
    )


def place_of(error: BaseException) -> str:
    """Return the type and place of an error, e.g. `OSError at store.py:12`, without its text.

    The text of an exception that is none of this family can quote an upload or the name of a patient's file.

    Args:
        error: the exception that was raised.
    """
    return f"{type(error).__name__} at {_where(error)}"


def _where(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame else "?"

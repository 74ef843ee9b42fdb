"""One exception class per cause. Every message names the file, the field, the value and what was expected."""

from __future__ import annotations

from pathlib import Path


class Ad40Error(Exception):
    """Base of every error a user can cause. The command line prints it without a traceback and exits with 2."""

    exit_code = 2

    def __reduce__(self) -> tuple[object, ...]:
        """An error raised in a worker process arrives whole: the constructors take other arguments than the message."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[Ad40Error], args: tuple[object, ...], state: dict[str, object]) -> Ad40Error:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(Ad40Error):
    """An event, record or model file does not hold what it should."""

    def __init__(self, file: str | Path, field: str, value: object, expected: str) -> None:
        self.file, self.field, self.value, self.expected = str(file), field, value, expected
        super().__init__(f"{file}: {field} is {value}; expected {expected}")


class SpecError(InputError):
    """A YAML or JSON document is malformed. `field` is the path inside the document, such as `seeds[1].name`."""


class HashMismatch(InputError):
    """Two files that must belong together carry different hashes."""


class OutputError(Ad40Error):
    """An output cannot be written."""

    def __init__(self, file: str | Path, reason: str) -> None:
        self.file, self.reason = str(file), reason
        super().__init__(f"{file}: cannot be written: {reason}")


class MissingTool(Ad40Error):
    """A program or package that a verb needs is not installed."""

    def __init__(self, tool: str, how_to_install: str) -> None:
        self.tool = tool
        super().__init__(f"{tool} is not installed; {how_to_install}")


class CheckError(Ad40Error):
    """The work was done and a check failed. The command line exits with 1.

    `summary`, when given, is what `--json` writes: what failed stays readable to other programs.
    """

    exit_code = 1

    def __init__(self, message: str, summary: dict[str, object] | None = None) -> None:
        self.summary = summary
        super().__init__(message)

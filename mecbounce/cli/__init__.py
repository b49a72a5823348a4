"""The command `mecbounce`: one bounce from a terminal, with a record that survives it. `kubectl bounce` is its `run`.

Exit status: 0 done; 2 usage; 3 refused, or given up before the deletion: this run deleted nothing; 4 the deletion was
accepted, and the pod has not gone in time; 5 the pod has gone, and its replacement was not back in time; 6 another
runner has taken the bounce over; 75 interrupted: run again to resume; 1 anything else.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import shlex
import sys
import warnings
from typing import NoReturn

try:
    import typer

    from mecbounce.cli.commands import app, plugin
    from mecbounce.cli.options import log_to_stderr
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("typer", "rich"):
        raise
    raise SystemExit(
        "mecbounce: the command needs the extra [cli]: pip install 'mecbounce[cli]'. "
        "If pipx has installed mecbounce: pipx inject mecbounce typer rich"
    ) from None

from mecbounce.cli.exits import ExitStatus, StoppedImmediately, discard, exit_status_of_error
from mecbounce.cli.layout import nearest_in_ascii
from mecbounce.errors import MecBounceError, RecordError
from mecbounce.quoting import printable

_CTRL_C = 130  # what typer returns for Ctrl-C, without a word


def main() -> NoReturn:
    """Run the command `mecbounce`."""
    _main(app, "mecbounce")


def kubectl_bounce() -> NoReturn:
    """Run `kubectl bounce`: kubectl looks for a program of the name `kubectl-bounce`."""
    _main(plugin, "kubectl bounce")


def complete_kubectl_bounce() -> NoReturn:
    """Complete `kubectl bounce`: kubectl runs `kubectl_complete-bounce` with the words so far, whatever the shell.

    It expects cobra's format: one choice a line, and at the end whether the shell may offer files.
    """
    os.environ["_MECBOUNCE_COMPLETE"] = "complete_fish"  # fish's format is cobra's
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    os.environ["_TYPER_COMPLETE_ARGS"] = shlex.join(["mecbounce", "run", *sys.argv[1:]])
    try:
        main()
    finally:
        print(":0" if {"--kubeconfig", "--state"} & {*sys.argv[-2:-1]} else ":4")


def _main(command: typer.Typer, name: str) -> NoReturn:
    """Run a command. Every foreseen error is one line on standard error."""
    log_to_stderr(verbose=False)
    warnings.filterwarnings("ignore", message="Unverified HTTPS request")  # the kubeconfig asks for it
    _write_what_can_be_shown()
    try:
        status_code = command(sys.argv[1:] or ["--help"], prog_name=name, standalone_mode=False) or ExitStatus.DONE
        if status_code == _CTRL_C:
            status_code = _complain(name, "Interrupted.", ExitStatus.OTHER)
    except typer.TyperException as error:
        status_code = _complain(name, _usage_fault(error), error.exit_code)
    except StoppedImmediately as stopped:
        status_code = _complain(name, f"Stopped immediately. {stopped}", ExitStatus.INTERRUPTED)
    except MecBounceError as error:
        where = "--state: " if isinstance(error, RecordError) else ""
        status_code = _complain(name, f"{where}{error}", exit_status_of_error(error))
    except OSError as error:
        discard(sys.stdout)
        where = "standard output can't be written: " if error.errno in (errno.ENOSPC, errno.EIO) else ""
        status_code = _complain(name, f"{where}{error}", ExitStatus.OTHER)
    sys.exit(status_code)


def _write_what_can_be_shown() -> None:
    """Let no sign of ours end a bounce. In a C locale write ASCII alone, although Python would write UTF-8 there."""
    codecs.register_error("mecbounce", nearest_in_ascii)
    c_locale = (os.environ.get("LC_ALL") or os.environ.get("LANG")) in ("C", "POSIX")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if c_locale else None, errors="mecbounce")


def _usage_fault(error: typer.TyperException) -> str:
    """Say what is wrong with the command line in one line, with the option's name first."""
    text = error.format_message()
    if isinstance(error, typer.BadParameter) and error.param is not None:
        text = f"{error.param.opts[0]}: {error.message.removeprefix('Value error, ')}"  # pydantic's words
    if text.startswith("Got unexpected extra argument"):
        text += ": expected one POD, as NAME or pod/NAME"
    return " ".join(text.split())


def _complain(name: str, message: str, status_code: int) -> int:
    print(f"{name}: {printable(message)}", file=sys.stderr)  # a file's name may hold anything
    return status_code

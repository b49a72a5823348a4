"""Runs a kubeconfig's credential plugin, a command that prints a token or a certificate, as kubectl does.

Unlike with kubectl, a plugin has a time limit, its output has a largest size, and no log shows what it prints.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Literal, cast

from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError

from mecbounce.errors import ConfigError
from mecbounce.fields import first_fault
from mecbounce.quoting import quoted

LIMIT = 60.0  # seconds
MOST_PRINTED = 1 << 20  # bytes: a certificate chain and a token take some kilobytes
INTERACTIVE_LIMIT = 300.0  # seconds, where it asks a person, such as for a code


class Strict(BaseModel):
    """A part of a kubeconfig in which unknown fields are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Variable(Strict):
    """One variable of the plugin's environment."""

    name: str = Field(min_length=1)
    value: str = Field("", repr=False)


class Exec(Strict):
    """The plugin's command, and what it needs."""

    command: str = Field(min_length=1)
    args: list[str] = Field([], repr=False)
    env: list[Variable] = []
    api_version: Literal[
        "client.authentication.k8s.io/v1",
        "client.authentication.k8s.io/v1beta1",
        "client.authentication.k8s.io/v1alpha1",
    ] = Field(alias="apiVersion")
    install_hint: str = Field("", alias="installHint")
    provide_cluster_info: bool = Field(default=False, alias="provideClusterInfo")
    interactive_mode: Literal["", "Never", "IfAvailable", "Always"] = Field("", alias="interactiveMode")


@dataclass(frozen=True)
class Credential:
    """What a plugin gave. `certificate` is the certificate and its key in one PEM text."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    expires: datetime | None = None


class _Answer(BaseModel):
    api_version: str = Field(alias="apiVersion")
    token: str = Field("", validation_alias=AliasPath("status", "token"))
    certificate: str = Field("", validation_alias=AliasPath("status", "clientCertificateData"))
    key: str = Field("", validation_alias=AliasPath("status", "clientKeyData"))
    expires: datetime | None = Field(None, validation_alias=AliasPath("status", "expirationTimestamp"))


def ask(plugin: Exec, command: str, cluster: Mapping[str, Any] | None) -> Credential:
    """Run a plugin. `command` is the plugin's own, or its path; `cluster` is what it is told of the cluster.

    Raises ConfigError, which quotes nothing that the plugin printed.
    """
    interactive = _interactive(plugin)
    spec = {"interactive": interactive} | ({"cluster": cluster} if cluster else {})
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    environment = os.environ | {one.name: one.value for one in plugin.env} | {"KUBERNETES_EXEC_INFO": json.dumps(info)}
    return _read(plugin, _run(plugin, command, environment, interactive=interactive))


def _interactive(plugin: Exec) -> bool:
    """Tell whether it may ask a person. As kubectl, refuse one that must ask and can't, and one that does not say."""
    mode = plugin.interactive_mode
    if not mode:
        if plugin.api_version.endswith("/v1"):
            raise ConfigError("exec.interactiveMode must be Never, IfAvailable or Always")
        mode = "IfAvailable"
    at_a_terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    if mode == "Always" and not at_a_terminal:
        raise ConfigError("exec.interactiveMode is Always, and standard input is not a terminal")
    return mode != "Never" and at_a_terminal


def _run(plugin: Exec, command: str, environment: Mapping[str, str], *, interactive: bool) -> bytes:
    limit = INTERACTIVE_LIMIT if interactive else LIMIT
    # What it tells a person goes to a terminal or nowhere. To ask there, it must stay in our own session. Otherwise
    # it gets a session of its own, whose processes can all be ended at once.
    told = None if interactive and sys.stderr is not None and sys.stderr.isatty() else subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603 -- the kubeconfig's own command, as kubectl runs it
            [command, *plugin.args],
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
            env=environment,
            start_new_session=not interactive,
        )
    except FileNotFoundError:
        hint = f"; {quoted(plugin.install_hint)}" if plugin.install_hint.strip() else ""
        raise _failed(f"there is no command {plugin.command!r}{hint}") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in an argument
        raise _failed(f"it can't be run ({type(error).__name__})") from None
    try:
        printed = _printed(process, limit)
    except BaseException as error:
        _end(process, alone=interactive)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        if process.returncode == -signal.SIGKILL:
            raise _failed(f"it had not ended after {limit:.0f} s") from None
        raise _failed(f"its output was not closed within {limit:.0f} s") from None  # a child of it kept it open
    if process.returncode:
        how = f"{os.path.basename(command)} ended with status {process.returncode}"  # noqa: PTH119 -- of any text
        raise ConfigError(f"its credential plugin failed; run it to see why ({how})")
    return printed


def _printed(process: subprocess.Popen[bytes], limit: float) -> bytes:
    """Read all that a process prints, and wait for its end. Raises TimeoutExpired, and ConfigError for too much."""
    deadline, printed = time.monotonic() + limit, bytearray()
    with selectors.DefaultSelector() as selector, cast("IO[bytes]", process.stdout) as output:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise subprocess.TimeoutExpired(process.args, limit)
            more = os.read(output.fileno(), 65536)
            if not more:
                break
            printed += more
            if len(printed) > MOST_PRINTED:
                raise _failed(f"it printed more than {MOST_PRINTED >> 20} MiB")
    process.wait(max(deadline - time.monotonic(), 0))
    return bytes(printed)


def _end(process: subprocess.Popen[bytes], *, alone: bool) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if alone:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _read(plugin: Exec, printed: bytes) -> Credential:
    try:
        answer = _Answer.model_validate_json(printed)
    except ValidationError as error:
        name, fault = first_fault(error)
        what = f"field {name}: {fault}" if name else "it is not JSON"
        raise _failed(f"what it printed is not an ExecCredential ({what})") from None
    if answer.api_version != plugin.api_version:
        raise _failed(f"it does not answer in the apiVersion {plugin.api_version}")
    if bool(answer.certificate) is not bool(answer.key):
        raise _failed("it gave a certificate without its key, or a key alone")
    if not answer.token and not answer.certificate:
        raise _failed("it gave neither a token nor a certificate")
    expires = answer.expires
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    pem = f"{answer.certificate}\n{answer.key}\n" if answer.certificate else ""
    return Credential(answer.token, pem, expires)


def _failed(why: str) -> ConfigError:
    return ConfigError(f"its credential plugin failed: {why}")

"""Whatever is typed: a documented exit status, one line that names what is wrong, and nothing touched."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import EXAMPLES

from mecbounce import cli
from mecbounce.cli.exits import ExitStatus
from mecbounce.sandbox import Sandbox
from mecbounce.sandbox.scenarios import SCENARIOS

# What a shell can hand over: no NUL; bytes that are no UTF-8 come as surrogates.
TYPED = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9),
    st.text(st.sampled_from("\udc80\udcffaB1-/.=\n\u202e \u0661"), max_size=6),
    st.sampled_from(
        ["", "-", "--", "/", "..", "x" * 300, "mec-0", "-h", "--help", "@", "*", "~", "$HOME", "%s", "{0}"]
    ),
)
DURATIONS = st.sampled_from(
    [
        "10m",
        "-1",
        "1e999",
        "\u0661m",
        "",
        "0",
        "9" * 400 + "h",
        "0.0000001",
        "1h1h",
        "m",
        "169h",
        "NaN",
        "inf",
        "1m ",
        "5\n",
    ]
)
NODES = st.one_of(
    st.sampled_from(["express.example.com/v1/expressnodes/mec-0", "a/b/c", "a/b/c/d/e", "///", "/v1/x/y", "A/v1/x/y"]),
    st.lists(TYPED, min_size=4, max_size=4).map("/".join),
)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "--namespace": TYPED,
    "-n": TYPED,
    "--selector": TYPED,
    "-l": TYPED,
    "--kubeconfig": TYPED | st.sampled_from(["config", "garbage", "absent", ".", "x" * 300]),
    "--context": TYPED | st.just("sandbox"),
    "--node": NODES | TYPED,
    "--pod-uid": TYPED,
    "--protection-annotation": TYPED | st.sampled_from(["a/b=c", "=", "a=", "a/b/c=d", "a=\udc80"]),
    "--termination-timeout": DURATIONS | TYPED,
    "--ready-timeout": DURATIONS | TYPED,
    "--ready-when": TYPED | st.sampled_from(["auto", "ready", "STARTED"]),
    "--output": TYPED | st.sampled_from(["json", "text", "JSON"]),
    "-o": TYPED | st.just("json"),
    "--scenario": TYPED.filter(lambda text: text not in SCENARIOS) | st.just("list"),
    "--state": st.sampled_from(
        ". folder pipe secret link dangling linked-folder/r.json damaged garbage/r.json state/new/r.json / "
        f"/dev/null /dev/zero /dev/full /dev/tty /proc/self/mem /proc/nope/r.json {'x' * 253} {'x' * 300} ".split(" ")
    ),
}
FITTING = {
    "--namespace": "default",
    "-n": "mec",
    "--selector": "app=mec",
    "-l": "app in (mec, other)",
    "--kubeconfig": "config",
    "--context": "sandbox",
    "--node": "express.example.com/v1/expressnodes/mec-0",
    "--pod-uid": "6d0c8f5e-3f0a-4a53-9d0b-2f8f1d7c5a10",
    "--protection-annotation": "example.com/protected=no",
    "--termination-timeout": "90s",
    "--ready-timeout": "1h30m",
    "--ready-when": "started",
    "--output": "json",
    "-o": "text",
    "--scenario": "list",
    "--state": "state/new/r.json",
}
COMMANDS = {
    "run": [*(VALUES.keys() - {"--scenario"}), "--gitops", "--force", "-v"],
    "plan": [*(VALUES.keys() - {"--scenario", "--state"}), "--gitops", "--force"],
    "status": ["--state"],
    "diagram": ["--state"],
    "demo": ["--scenario", "--output"],
}
# Options whose every value that does not fit must be named, as itself or as the field that it is.
NAMED = ["--namespace", "--node", "--pod-uid", "--termination-timeout", "--ready-timeout", "--ready-when", "--output"]
NAMED += ["--protection-annotation", "--kubeconfig", "--context", "--state"]


def _option(name: str) -> st.SearchStrategy[list[str]]:
    if name not in VALUES:
        return st.just([name])
    values = st.one_of(*[st.just(FITTING[name])] * 3, VALUES[name])
    return values.flatmap(lambda value: st.sampled_from([[name, value], [f"{name}={value}"]]))


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from([*COMMANDS, "run", "run", "plan"]))
    options = draw(st.lists(st.sampled_from(sorted(COMMANDS[command])).flatmap(_option), max_size=4))
    loose = ["mec-0"] if command in ("run", "plan") else []
    if not draw(st.integers(0, 5)):
        loose = draw(st.lists(TYPED, max_size=2))
    words = [*options, loose] if draw(st.booleans()) else [loose, *options]
    # A demo of a real scenario takes its time; tests of the command have them.
    return [command, *([] if command != "demo" else ["--scenario=none"]), *(word for part in words for word in part)]


class Ground:
    """A home, a state folder and a current folder with traps in it; the cluster forbids everything."""

    def __init__(self, root: Path, sandbox: Sandbox) -> None:
        self.root, self.sandbox = root, sandbox
        (root / "folder").mkdir()
        (root / "others").mkdir()
        (root / "others" / "r.json").write_bytes(b"another's")
        (root / "linked-folder").symlink_to("others")
        os.mkfifo(root / "pipe")
        (root / "secret").write_bytes(b"unreadable")
        (root / "secret").chmod(0)
        (root / "link").symlink_to("others/r.json")
        (root / "dangling").symlink_to("others/new")
        (root / "damaged").write_bytes(b'{"schema_version": 1}')
        (root / "garbage").write_bytes(b"\xff: [")
        (root / "config").write_bytes(sandbox.kubeconfig.read_bytes())

    def snapshot(self) -> dict[str, Any]:
        """Give what lies outside of the state folder, but for a record of that very name in the current folder."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if name == "state" or name.startswith(("state/", "x" * 253)):
                continue
            status = path.lstat()
            readable = os.access(path, os.R_OK)  # to root even the secret one is
            data = path.read_bytes() if readable and path.is_file() and not path.is_symlink() else None
            found[name] = (status.st_mode, status.st_uid, data, path.is_symlink() and os.readlink(path))  # noqa: PTH115 -- as text
        return found

    def types(self, words: list[str]) -> tuple[int, str, str]:
        """Run the command as `main` does; gives its status, standard output and standard error."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["mecbounce", *words])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        out.seek(0)
        err.seek(0)
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.read(), err.read()


@pytest.fixture
def ground(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    sandbox.add_node("mec-0")
    sandbox.forbid("*", "*")
    strangers: list[Any] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if address[0] not in ("127.0.0.1", "::1"):
            strangers.append(address)
            raise OSError("no such network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield Ground(tmp_path, sandbox)
    assert strangers == []
    assert "delete" not in {one.verb for one in sandbox.requests}


@EXAMPLES
@pytest.mark.parametrize("configured", [True, False], ids=["forbidden_cluster", "no_kubeconfig"])
def test_any_command_line_ends_with_a_documented_status_and_touches_nothing(
    examples: int, configured: bool, ground: Ground, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    if not configured:
        monkeypatch.setenv("KUBECONFIG", "nowhere")
    before = ground.snapshot()
    statuses = dict.fromkeys(ExitStatus, 0)

    @settings(max_examples=(50 if configured else 15) * examples)
    @given(words=command_lines())
    def holds(words: list[str]) -> None:
        status, _, err = ground.types(words)
        statuses[ExitStatus(status)] += 1
        assert "Traceback" not in err
        if status == ExitStatus.USAGE:
            assert err.startswith("mecbounce: ")
            assert err.count("\n") == 1
        assert before == ground.snapshot()

    holds()
    assert statuses[ExitStatus.USAGE]
    ends = ", ".join(f"{count} with {status}" for status, count in statuses.items() if count)
    figure(f"fuzz, command lines: {sum(statuses.values())} typed, of which ended {ends}")


@EXAMPLES
@pytest.mark.parametrize("option", NAMED)
def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_option(
    examples: int, option: str, ground: Ground
) -> None:
    refused = 0

    @settings(max_examples=6 * examples)
    @given(value=VALUES[option])
    def holds(value: str) -> None:
        nonlocal refused
        status, _, err = ground.types(["run", "mec-0", f"{option}={value}"])
        assert status in (ExitStatus.USAGE, ExitStatus.REFUSED)  # what fits is refused by the cluster
        if status == ExitStatus.USAGE:
            refused += 1
            assert option in err or option.strip("-").replace("-", "_") in err

    holds()
    assert refused

"""The command `mecbounce`: one bounce from a terminal, with a record that survives it. `kubectl bounce` is its `run`.

Exit status: 0 done; 2 usage; 3 refused or given up before the deletion, nothing was deleted; 4 its deletion was
accepted, and it has not gone in time; 5 it had gone, and its replacement was not back in time; 6 another runner has it;
75 interrupted, run again to resume; 1 anything else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn, Self

import structlog
from pydantic import ValidationError

try:
    import typer
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from mecbounce import screen
except ImportError:
    raise SystemExit("mecbounce: the command needs an extra: pip install 'mecbounce[cli]'") from None

from mecbounce import diagram as drawing
from mecbounce.bounce import BounceTask, begin, refuse_other_bounce, refuse_other_pod, refuse_other_server
from mecbounce.errors import (
    ClusterError,
    ImpossibleEvent,
    Interrupted,
    MecBounceError,
    RecordError,
    RecordNotSaved,
    Refused,
    Superseded,
)
from mecbounce.machine import NOT_DELETED, WAITING, Event, State
from mecbounce.model import (
    LONGEST,
    BounceRecord,
    BounceRequest,
    BounceResult,
    ClusterType,
    NodeRef,
    Notice,
    Pod,
    ReadyWhen,
    Timeouts,
    first_fault,
)
from mecbounce.planning import plan
from mecbounce.protection import AnnotationProtection
from mecbounce.stores import FileStore


class ExitStatus(IntEnum):
    """What the command tells its caller, as the module's text explains."""

    DONE = 0
    OTHER = 1
    USAGE = 2
    REFUSED = 3
    NOT_TERMINATED = 4
    NOT_BACK = 5
    SUPERSEDED = 6
    INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again


_STATUS_OF = {
    Event.TERMINATION_TIMEOUT: ExitStatus.NOT_TERMINATED,
    Event.NOT_RECREATED: ExitStatus.NOT_BACK,
    Event.READY_TIMEOUT: ExitStatus.NOT_BACK,
}

_STATUS_OF_ERROR = (  # the first that fits
    (Interrupted, ExitStatus.INTERRUPTED),
    (Superseded, ExitStatus.SUPERSEDED),
    (RecordNotSaved, ExitStatus.OTHER),
    (ImpossibleEvent, ExitStatus.OTHER),
    (ClusterError, ExitStatus.REFUSED),
    (MecBounceError, ExitStatus.USAGE),
)

_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="mecbounce",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=_HELP,
)
plugin = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


class UsageProblem(MecBounceError):
    """What was asked can't be: the message names the option."""


class Output(StrEnum):
    """How to print the result."""

    TEXT = "text"
    JSON = "json"


Completion = Callable[[typer.Context, str], list[str]]
LONGEST_NAME = 200  # characters of a record's file, without what is added to it
WIDE = 2000  # columns: no line of ours is so long
COMPLETION_SECONDS = 2.0  # whoever has pressed the tab key waits for it
_CTRL_C = 130  # what typer returns for it; it prints nothing
_KIND = re.compile(r"^(po|pods?)/")  # as kubectl names it


def _completion(ask: Callable[[dict[str, Any], str], Iterable[str]]) -> Completion:
    """Offer what `ask` finds with the options so far, in time; whatever stands in the way, offer nothing."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        found: list[str] = []

        def look() -> None:
            with contextlib.suppress(Exception):
                found.extend(ask(ctx.params, incomplete))

        looking = threading.Thread(target=look, daemon=True)
        with contextlib.redirect_stderr(io.StringIO()):  # a warning would land in the line that is being typed
            from mecbounce import cluster  # noqa: F401, PLC0415 -- its import takes long by itself: before the time runs

            looking.start()
            looking.join(COMPLETION_SECONDS)
        return found

    return complete


def _contexts(options: dict[str, Any], _incomplete: str) -> Iterable[str]:
    from mecbounce.cluster import KubernetesCluster  # noqa: PLC0415 -- takes a third of a second

    return KubernetesCluster.contexts(options["kubeconfig"])


def _kube(options: dict[str, Any]) -> Kube:
    acting = _acting(options["as_user"], options["as_groups"], options["as_uid"])
    return Kube(options["kubeconfig"], options["context"], acting)


def _namespaces(options: dict[str, Any], _incomplete: str) -> Iterable[str]:
    return _kube(options).cluster.namespaces()


def _pods(options: dict[str, Any], incomplete: str) -> Iterable[str]:
    kube = _kube(options)
    kind = _KIND.match(incomplete)
    found = kube.cluster.pods(options["namespace"] or kube.namespace)
    return [f"{kind[0] if kind else ''}{pod.name}" for pod in found]


PodArgument = Annotated[
    str | None,
    typer.Argument(metavar="POD", help="the pod to bounce: NAME or pod/NAME", autocompletion=_completion(_pods)),
]
Selector = Annotated[
    str | None,
    typer.Option("--selector", "-l", metavar="LABELS", help="instead of POD: the one pod with these labels"),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="its namespace; default: the context's", autocompletion=_completion(_namespaces)
    ),
]
Kubeconfig = Annotated[Path | None, typer.Option(help="default: $KUBECONFIG, then ~/.kube/config")]
KubeContext = Annotated[
    str | None,
    typer.Option("--context", help="default: the kubeconfig's current context", autocompletion=_completion(_contexts)),
]
AsUser = Annotated[str | None, typer.Option("--as", metavar="USER", help="act as this user; default: the kubeconfig's")]
AsGroups = Annotated[
    list[str] | None, typer.Option("--as-group", metavar="GROUP", help="act as of this group; may be repeated")
]
AsUid = Annotated[str | None, typer.Option("--as-uid", metavar="UID", help="act as the user with this UID")]
NodeOption = Annotated[
    str | None,
    typer.Option("--node", metavar="GROUP/VERSION/PLURAL/NAME", help="the custom resource that the pod is made from"),
]
GitOps = Annotated[bool, typer.Option("--gitops", help="the cluster's resources are changed in Git")]
Force = Annotated[
    bool, typer.Option("--force", help="bounce a node that rebuilds, a pod that no controller owns, or a Job's")
]
PodUid = Annotated[
    str | None, typer.Option("--pod-uid", help="bounce this incarnation only; if it has gone, just wait")
]
ProtectionOption = Annotated[
    str | None,
    typer.Option(
        "--protection-annotation",
        metavar="KEY=VALUE",
        help="where the pod has this annotation, set it to VALUE before deleting",
    ),
]
TerminationTimeout = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="such as 90s or 10m; default: 10m, or the grace period and 1m if that is longer"
    ),
]
ReadyTimeout = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="such as 90s or 10m; default: 10m, or the startup probe's budget and 5m if that is longer",
    ),
]
NoEvents = Annotated[bool, typer.Option("--no-events", help="write no Kubernetes Events about the bounce")]
ReadyWhenOption = Annotated[ReadyWhen, typer.Option(help="what counts as back")]
StateFile = Annotated[Path | None, typer.Option("--state", metavar="FILE", help="where the record lies")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="how to print the result")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="log to standard error")]


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"mecbounce {version('mecbounce')}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="tell the version and leave")
    ] = False,
) -> None:
    """Bounce one application node on Kubernetes: delete its pod and wait until its replacement has started."""


@plugin.command(context_settings=_HELP)
@app.command()
def run(
    pod: PodArgument = None,
    selector: Selector = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: KubeContext = None,
    as_user: AsUser = None,
    as_groups: AsGroups = None,
    as_uid: AsUid = None,
    node: NodeOption = None,
    gitops: GitOps = False,
    force: Force = False,
    pod_uid: PodUid = None,
    protection_annotation: ProtectionOption = None,
    termination_timeout: TerminationTimeout = None,
    ready_timeout: ReadyTimeout = None,
    ready_when: ReadyWhenOption = ReadyWhen.AUTO,
    no_events: NoEvents = False,
    state: StateFile = None,
    output: OutputOption = Output.TEXT,
    verbose: Verbose = False,
) -> int:
    """Bounce a pod, or resume a bounce that was interrupted."""
    request, kube = _request(
        pod,
        selector=selector,
        namespace=namespace,
        kubeconfig=kubeconfig,
        context=context,
        acting=_acting(as_user, as_groups, as_uid),
        node=node,
        gitops=gitops,
        force=force,
        pod_uid=pod_uid,
        termination_timeout=termination_timeout,
        ready_timeout=ready_timeout,
        ready_when=ready_when,
    )
    protection = _protection(protection_annotation, kube.cluster)
    store = FileStore(state or _default_record(kube, request))
    if verbose:
        _log_to_stderr(logging.INFO)
    given = screen.Given(
        kubeconfig=str(kubeconfig or ""),
        context=context or "",
        as_user=as_user or "",
        as_groups=tuple(as_groups or ()),
        as_uid=as_uid or "",
        protection=protection_annotation or "",
        state=str(state or ""),
        no_events=no_events,
    )
    terminal = BounceInTerminal(request, kube.name, given, output, plain=verbose)
    return _bounce(terminal, request, kube.cluster, store, protection, events=not no_events)


@app.command("plan")
def show_plan(
    pod: PodArgument = None,
    selector: Selector = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: KubeContext = None,
    as_user: AsUser = None,
    as_groups: AsGroups = None,
    as_uid: AsUid = None,
    node: NodeOption = None,
    gitops: GitOps = False,
    force: Force = False,
    pod_uid: PodUid = None,
    protection_annotation: ProtectionOption = None,
    termination_timeout: TerminationTimeout = None,
    ready_timeout: ReadyTimeout = None,
    ready_when: ReadyWhenOption = ReadyWhen.AUTO,
    no_events: NoEvents = False,
    state: StateFile = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Tell what a bounce would do now: checks, deadlines, rights, a dry run of the deletion. Changes nothing."""
    request, kube = _request(
        pod,
        selector=selector,
        namespace=namespace,
        kubeconfig=kubeconfig,
        context=context,
        acting=_acting(as_user, as_groups, as_uid),
        node=node,
        gitops=gitops,
        force=force,
        pod_uid=pod_uid,
        termination_timeout=termination_timeout,
        ready_timeout=ready_timeout,
        ready_when=ready_when,
    )
    protection = _protection(protection_annotation, kube.cluster)
    store = FileStore(state or _default_record(kube, request))
    left = store.load()
    try:
        store.try_place()
    except RecordNotSaved as error:
        raise UsageProblem(f"--state: {error}") from error
    if left is not None and not left.finished:
        refuse_other_bounce(left, request, store)
        refuse_other_server(left, kube.cluster.server, store)
    found = plan(request, kube.cluster, protection, events=not no_events)
    if left is not None and not left.finished:
        found = found.model_copy(update={"resumes": screen.would_resume(left)})
    if output is Output.JSON:
        print(found.model_dump_json(indent=2))
    else:
        _print_page(screen.plan_page(found, screen.heading(request, kube.name)))
    return ExitStatus.DONE if found.goes_on else ExitStatus.REFUSED


@app.command()
def status(
    pod: PodArgument = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: KubeContext = None,
    as_user: AsUser = None,
    as_groups: AsGroups = None,
    as_uid: AsUid = None,
    state: StateFile = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Tell where the bounce of POD, or that of --state, stands: from its record alone."""
    if (pod is None) is (state is None):
        raise UsageProblem("expected either POD or --state")
    given = screen.Given(
        kubeconfig=str(kubeconfig or ""),
        context=context or "",
        as_user=as_user or "",
        as_groups=tuple(as_groups or ()),
        as_uid=as_uid or "",
        state=str(state or ""),
    )
    if state is None:
        acting = _acting(as_user, as_groups, as_uid)
        request, kube = _request(pod, namespace=namespace, kubeconfig=kubeconfig, context=context, acting=acting)
        state = _default_record(kube, request)
        if not state.exists():
            raise UsageProblem(f"no bounce of {pod} is recorded in {state}; if it ran with --state, give that")
    record, now = _stored(state), datetime.now(UTC)
    if output is Output.JSON:
        print(json.dumps(screen.as_json(record, now, given), indent=2))
        return ExitStatus.DONE
    console = Console(highlight=False)
    width = console.width if console.is_terminal else None
    console.print(screen.screen(record, now, width or WIDE, where=record.server), soft_wrap=True)
    console.print()
    console.print(screen.ending(record, given, width), soft_wrap=True)
    return ExitStatus.DONE


def _print_page(page: RenderableType) -> None:
    """Print what is laid out in columns: in a terminal for its width, elsewhere each row as one line."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(page)
        return
    wide = Console(highlight=False, width=WIDE)
    with wide.capture() as laid_out:
        wide.print(page)
    for line in laid_out.get().splitlines():
        print(line.rstrip())


@app.command()
def diagram(
    state: Annotated[Path | None, typer.Option("--state", metavar="FILE", help="mark the path of this record")] = None,
) -> int:
    """Print the machine as a Mermaid diagram."""
    print(drawing.bounce(_stored(state) if state else None), end="")
    return ExitStatus.DONE


@app.command()
def demo(
    scenario: Annotated[str, typer.Option(help="which one; 'list' tells them")] = "happy",
    output: OutputOption = Output.TEXT,
) -> int:
    """Bounce a node of an embedded cluster; nothing outside of this process is touched."""
    from mecbounce.sandbox import Sandbox  # noqa: PLC0415 -- only a demo needs it
    from mecbounce.sandbox.scenarios import SCENARIOS  # noqa: PLC0415

    if scenario == "list":
        for one in SCENARIOS.values():
            print(f"{one.name:18} {one.summary}")
        return ExitStatus.DONE
    if scenario not in SCENARIOS:
        raise UsageProblem(f"--scenario: {scenario!r} is none of {', '.join(SCENARIOS)}")
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        shown = SCENARIOS[scenario]
        shown.furnish(sandbox)
        patience = f"{shown.patience}s" if shown.patience else None
        request, kube = _request(
            "mec-0",
            kubeconfig=sandbox.kubeconfig,
            node="express.example.com/v1/expressnodes/mec-0",
            termination_timeout=patience,
            ready_timeout=patience,
        )
        annotation = "express.example.com/shutdown-protection=disabled"
        given = screen.Given(kubeconfig=str(sandbox.kubeconfig), protection=annotation)
        terminal = BounceInTerminal(request, kube.name, given, output)
        store = FileStore(Path(folder) / "mec-0.json")
        if shown.killed:
            elsewhere = replace(given, state=str(store.path))
            [(_, words)] = screen.next_commands(begin(request, datetime.now(UTC)), elsewhere)
            _killed_while_waiting([*words[1:], "-o", output.value], store)
            terminal.say("Killed by SIGKILL. The same command again:")
        try:
            status_code = _bounce(terminal, request, kube.cluster, store, _protection(annotation, kube.cluster))
        except Interrupted:
            status_code = ExitStatus.INTERRUPTED
    if status_code and output is Output.TEXT:
        again = f"python -m mecbounce.sandbox --scenario {scenario}"
        print(f"(This cluster has ended, its records too. To try these, with the kubeconfig that it prints: {again})")
    return status_code


def _killed_while_waiting(words: list[str], store: FileStore) -> None:
    """Run the command in a process of its own, and kill that a second after it began to wait.

    Its last line is that it waits; what it waits for it would tell a second later.
    """
    with subprocess.Popen([sys.executable, "-m", "mecbounce.cli", *words]) as process:  # noqa: S603 -- ourselves
        while process.poll() is None:
            time.sleep(0.1)
            record, a_second_ago = store.load(), datetime.now(UTC) - timedelta(seconds=1)
            if record is not None and record.state in WAITING and record.entered_at <= a_second_ago:
                process.kill()


def main() -> NoReturn:
    """Run the command `mecbounce`."""
    _main(app, "mecbounce")


def kubectl_bounce() -> NoReturn:
    """Run `kubectl bounce`: kubectl looks for a program of the name `kubectl-bounce`."""
    _main(plugin, "kubectl bounce")


def complete_kubectl_bounce() -> NoReturn:
    """Complete `kubectl bounce`: kubectl asks `kubectl_complete-bounce`, whatever the shell, with the words so far.

    It expects what cobra's programs answer: a choice a line, and at the end whether the shell may offer files.
    """
    os.environ["_MECBOUNCE_COMPLETE"] = "complete_fish"  # cobra's programs answer as fish wants it, too
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    os.environ["_TYPER_COMPLETE_ARGS"] = shlex.join(["mecbounce", "run", *sys.argv[1:]])
    try:
        main()
    finally:
        print(":0" if {"--kubeconfig", "--state"} & {*sys.argv[-2:-1]} else ":4")


def _main(command: typer.Typer, name: str) -> NoReturn:
    """Run a command; every foreseen error is one line on standard error."""
    _log_to_stderr(logging.ERROR)
    warnings.filterwarnings("ignore", message="Unverified HTTPS request")  # as the kubeconfig says it should be
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without our marks must not end a bounce
    try:
        status_code = command(sys.argv[1:] or ["--help"], prog_name=name, standalone_mode=False) or ExitStatus.DONE
        if status_code == _CTRL_C:
            status_code = _complain(name, "Interrupted.", ExitStatus.OTHER)
    except typer.TyperException as error:
        status_code = _complain(name, " ".join(error.format_message().split()), error.exit_code)
    except _LeftAtOnce as left:
        status_code = _complain(name, f"Left at once. {left}", ExitStatus.INTERRUPTED)
    except (typer.Abort, KeyboardInterrupt):
        status_code = _complain(name, "Interrupted.", ExitStatus.OTHER)
    except MecBounceError as error:
        where = "--state: " if isinstance(error, RecordError) else ""
        code = next(code for kind, code in _STATUS_OF_ERROR if isinstance(error, kind))
        status_code = _complain(name, f"{where}{error}", code)
    except BrokenPipeError:
        _discard(sys.stdout)
        status_code = ExitStatus.OTHER
    except OSError as error:
        _discard(sys.stdout)
        where = "standard output can't be written: " if error.errno in (errno.ENOSPC, errno.EIO) else ""
        status_code = _complain(name, f"{where}{error}", ExitStatus.OTHER)
    sys.exit(status_code)


class _LeftAtOnce(BaseException):
    """A second signal. No handler of errors may take it for one. Its text says what was saved."""


def _complain(name: str, message: str, status_code: int) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return status_code


# --- what was asked ----------------------------------------------------------------------------------------------


def _acting(user: str | None, groups: list[str] | None, uid: str | None) -> dict[str, Any]:
    """Name what --as, --as-group and --as-uid say as the library does."""
    return {"as_user": user, "as_groups": tuple(groups or ()), "as_uid": uid}


class Kube:
    """The cluster that the options name, and as whom to ask it."""

    def __init__(self, kubeconfig: Path | None, context: str | None, acting: Mapping[str, Any] | None = None) -> None:
        from mecbounce.cluster import KubernetesCluster  # noqa: PLC0415 -- takes a third of a second

        no_kubeconfig = kubeconfig is None and context is None and not os.environ.get("KUBECONFIG")
        if no_kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ and not _home("~/.kube/config").exists():
            self.name, self.namespace = "in-cluster", _own_namespace()
            self.cluster = KubernetesCluster.in_cluster(**(acting or {}))
        else:
            self.name, self.namespace = KubernetesCluster.describe_kubeconfig(kubeconfig, context)
            self.cluster = KubernetesCluster.from_kubeconfig(kubeconfig, context, **(acting or {}))


def _request(
    pod: str | None,
    *,
    selector: str | None = None,
    kubeconfig: Path | None,
    namespace: str | None = None,
    context: str | None = None,
    acting: Mapping[str, Any] | None = None,
    node: str | None = None,
    gitops: bool = False,
    force: bool = False,
    pod_uid: str | None = None,
    termination_timeout: str | None = None,
    ready_timeout: str | None = None,
    ready_when: ReadyWhen = ReadyWhen.AUTO,
) -> tuple[BounceRequest, Kube]:
    """Make a request of the options. What is wrong with the options alone is said before a kubeconfig is opened."""
    if (pod is None) is (selector is None):
        raise UsageProblem("expected either POD or --selector")
    if pod_uid is not None and not re.fullmatch(screen.WHOLE_UID, pod_uid):  # else its pod would be taken for gone
        raise UsageProblem(f"--pod-uid: {pod_uid!r} is no whole UID, such as 6d0c8f5e-3f0a-4a53-9d0b-2f8f1d7c5a10")
    if selector is not None and not selector.strip():
        raise UsageProblem("--selector: '' would select every pod")
    if selector is not None and not selector.isprintable():  # half a character can't even be sent
        raise UsageProblem(f"--selector: {selector!r} is no label selector")
    timeouts = {
        "termination": _duration("--termination-timeout", termination_timeout),
        "ready": _duration("--ready-timeout", ready_timeout),
    }
    with _fields_named():
        request = BounceRequest(
            namespace="default" if namespace is None else namespace,
            pod="to-be-selected" if pod is None else _KIND.sub("", pod),
            node=_node_ref(node),
            cluster_type=ClusterType.K8S_GITOPS if gitops else ClusterType.K8S,
            force=force,
            pod_uid=pod_uid,
            timeouts=Timeouts.model_validate(timeouts),
            ready_when=ready_when,
        )
    kube = Kube(kubeconfig, context, acting)
    if namespace is None:
        with _fields_named(f"context {kube.name}: "):
            request = BounceRequest.model_validate(request.model_dump() | {"namespace": kube.namespace})
    if selector is not None:
        found = _selected(kube.cluster, request.namespace, selector)
        with _fields_named("--selector: "):
            request = BounceRequest.model_validate(request.model_dump() | {"pod": found})
    return request, kube


def _selected(cluster: Any, namespace: str, selector: str) -> str:
    """Give the name of the one pod with these labels. One that is terminating counts too: it may be the one meant."""
    try:
        pods = cluster.selected_pods(namespace, selector)
    except Refused as error:
        raise UsageProblem(f"--selector: {error}") from error
    names = [f"{pod.name} (terminating)" if pod.terminating else pod.name for pod in pods]
    match names:
        case [_]:
            return str(pods[0].name)
        case []:
            raise UsageProblem(
                f"--selector: {selector!r} matches no pod in namespace {namespace}; to resume a bounce, name its pod"
            )
    raise UsageProblem(f"--selector: {selector!r} matches {len(names)} pods, name one: {', '.join(sorted(names))}")


@contextlib.contextmanager
def _fields_named(where: str = "") -> Iterator[None]:
    """Turn pydantic's error into one line that names the field."""
    try:
        yield
    except ValidationError as error:
        field, fault = first_fault(error)
        raise UsageProblem(f"{where}{field}: {fault}") from None


def _node_ref(text: str | None) -> NodeRef | None:
    if text is None:
        return None
    parts = text.split("/")
    if len(parts) != 4:  # noqa: PLR2004 -- the four that the message names
        raise UsageProblem(f"--node: {text!r} is not of the form GROUP/VERSION/PLURAL/NAME")
    group, version, plural, name = parts
    with _fields_named("--node: "):
        return NodeRef(group=group, version=version, plural=plural, name=name)


def _duration(option: str, text: str | None) -> float | None:
    """Read 90s, 10m, 1h30m, or a bare number of seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text, re.ASCII)
    if not text or match is None:
        raise UsageProblem(f"{option}: {text!r} is not a duration such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= LONGEST:
        raise UsageProblem(f"{option}: {text!r} is not more than 0 and at most a week")
    return total


def _protection(text: str | None, cluster: Any) -> AnnotationProtection | None:
    if text is None:
        return None
    key, equals, value = text.partition("=")
    if not re.fullmatch(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", key) or not equals:
        raise UsageProblem("--protection-annotation: expected KEY=VALUE, KEY being an annotation's name")
    return AnnotationProtection(cluster, key, value)


def _default_record(kube: Kube, request: BounceRequest) -> Path:
    """Give the record's place: of this context of this API server, this namespace and this pod."""
    given = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
    folder = _home(given if given.startswith("/") else "~/.local/state") / "mecbounce"
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", kube.name)[:60]
    server = hashlib.sha256(f"{kube.name} {kube.cluster.server}".encode()).hexdigest()[:8]
    name = f"{readable}-{server}_{request.namespace}_{request.pod}"
    if len(name) > LONGEST_NAME:  # a pod's name may be as long as a file's, and the record's has more in it
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return folder / f"{name}.json"


def _home(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path raises where there is no home


def _own_namespace() -> str:
    """Give the namespace of the pod that this runs in."""
    found = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return found.read_text(encoding="utf-8").strip() if found.exists() else "default"


def _stored(path: Path) -> BounceRecord:
    record = FileStore(path).load()
    if record is None:
        raise UsageProblem(f"--state: there is no record {path}")
    return record


def _log_to_stderr(level: int) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


# --- what a person sees ------------------------------------------------------------------------------------------


class _LastingConsole(Console):
    """A bounce goes on when nobody reads any more (`mecbounce run ... | head`)."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        _discard(self.file)


def _discard(file: IO[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # or Python complains as it ends


@contextlib.contextmanager
def _unless_unwritable() -> Iterator[None]:
    """Print, unless nobody reads any more or the disk is full: the exit status still tells how a bounce ended."""
    try:
        yield
    except OSError:
        _discard(sys.stdout)


class BounceInTerminal:
    """One bounce as it is seen: a live screen in a terminal, plain lines elsewhere, one JSON document for programs."""

    def __init__(
        self, request: BounceRequest, context: str, given: screen.Given, output: Output, *, plain: bool = False
    ) -> None:
        self._request = request
        self._context = context
        self._given = given
        self._output = output
        self._console = _LastingConsole(highlight=False, stderr=output is Output.JSON)
        self._console.soft_wrap = not self._console.is_terminal  # a log line is one line
        self.record: BounceRecord | None = None
        """The last one that was saved. None: none was, as far as is known."""
        self._sight: screen.Sight | None = None
        live = self._console.is_terminal and not self._console.is_dumb_terminal and not plain
        self._live = Live(self, console=self._console, refresh_per_second=4) if live else None
        self._progress = screen.ProgressLines()

    def __rich__(self) -> Text:
        if self.record is None:
            return Text()
        now = datetime.now(UTC)
        return screen.screen(self.record, now, self._console.width, where=self._context, sight=self._sight)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            self._line(screen.heading(self._request, self._context))
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def observe(self, record: BounceRecord) -> None:
        """Take a saved record in. The live screen shows it when it is due."""
        before, self.record = self.record, record
        if self._live is not None:
            return
        if before is None or record.state is not before.state:
            limit = f", at most {record.limit:.0f} s" if record.limit is not None else ""
            self._line(
                f"{record.state}: {screen.codes(record)}" if record.state is State.FAILED else f"{record.state}{limit}"
            )
        self._tell_progress()

    def saw(self, pods: tuple[Pod, ...], server_time: datetime | None) -> None:
        """Take the pods of a look in, and the API server's time, to show what is waited for."""
        now = datetime.now(UTC)
        self._sight = screen.Sight(pods, (server_time or now) - now)
        if self._live is None:
            self._tell_progress()

    def notify(self, notice: Notice) -> None:
        """Say a notice where the screen does not show it."""
        if self._live is None:
            self._line(f"notice: {screen.plain(notice.message)}")

    def say(self, text: str) -> None:
        """Say something between two bounces."""
        if self._live is not None:
            self._console.print()
        self._line(text)

    def end(self, result: BounceResult) -> None:
        """Print how it ended."""
        if self._output is Output.TEXT:
            self.sum_up()
            return
        with _unless_unwritable():
            print(result.model_dump_json(indent=2), flush=True)

    def sum_up(self) -> None:
        """Say how it ended, or how to go on with it."""
        if self.record is None:
            return
        width = self._console.width if self._console.is_terminal else None
        with _unless_unwritable():
            if self._live is not None:
                self._console.print()
            self._console.print(screen.ending(self.record, self._given, width), soft_wrap=True)

    def _tell_progress(self) -> None:
        if self.record is not None and (line := self._progress.line(self.record, self._sight, datetime.now(UTC))):
            self._line(line)

    def _line(self, text: str) -> None:
        self._console.print(f"{datetime.now(UTC):%H:%M:%SZ} {text}", markup=False)


def _bounce(
    terminal: BounceInTerminal,
    request: BounceRequest,
    cluster: Any,
    store: FileStore,
    protection: AnnotationProtection | None,
    *,
    events: bool = True,
) -> int:
    """Bounce, or resume. What a finished bounce left is set aside, once its end has been told."""
    saved: BounceRecord | None = None  # of this bounce, by an earlier run
    try:
        with _stop_signals() as stop:
            saved = _left_behind(store, request, cluster)
            if saved is not None and saved.finished:
                result = _told_late(terminal, saved)
            else:
                task = BounceTask(
                    request,
                    cluster,
                    store,
                    protection=protection,
                    notify=terminal.notify,
                    observe=terminal.observe,
                    saw=lambda pods: terminal.saw(pods, cluster.server_time),
                    stop=stop,
                    events=events,
                )
                result = _performed(task, terminal)
    except _LeftAtOnce as at_once:
        raise _LeftAtOnce(_what_is_recorded(terminal.record or saved)) from at_once
    except RecordNotSaved as error:
        if terminal.record is None and saved is None:
            raise UsageProblem(f"--state: {error}") from error
        raise
    terminal.end(result)
    _mark_told(store)
    return exit_status(result)


def _left_behind(store: FileStore, request: BounceRequest, cluster: Any) -> BounceRecord | None:
    """Give the record to go on with, or whose end was not told yet. Set any other that has ended aside."""
    left = store.load()
    if left is None:
        return None
    # An ended bounce with a mistyped --node must not stand in the way of the corrected one.
    refuse_other_pod(left, request, store)
    if not left.finished:
        refuse_other_server(left, cluster.server, store)
    elif not is_untold_end(left, request):
        store.set_aside()
        return None
    return left


def _performed(task: BounceTask, terminal: BounceInTerminal) -> BounceResult:
    try:
        with terminal:
            return task.perform()
    except Interrupted:
        terminal.sum_up()
        raise


def _what_is_recorded(saved: BounceRecord | None) -> str:
    """Say what there is to go on with. `saved`: the last record that is known to be saved.

    The file is not looked at: a disk that does not answer may be why a second signal was sent.
    """
    if saved is None:  # perhaps in the middle of the first save
        return "This run deleted nothing. Run again to begin the bounce, or to resume it if a record was saved."
    if saved.finished:
        return "The bounce has ended, and its record was saved: run again to be told how."
    return "The record was saved: run again to resume."


def is_untold_end(left: BounceRecord, request: BounceRequest) -> bool:
    """Whether a finished record is of the bounce that is asked for, and the run that ended it did not tell so."""
    pinned = left.old_pod.uid if left.old_pod else left.request.pod_uid
    same = left.request.node == request.node and request.pod_uid in (None, pinned)
    return left.finished and left.untold and same


def _told_late(terminal: BounceInTerminal, left: BounceRecord) -> BounceResult:
    """Say that a bounce has ended whose run was killed before it could tell how."""
    at = f"{left.entered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    with terminal:
        terminal.observe(left)
        terminal.say(
            f"This bounce ended at {at}; its run stopped before it said so. The same command again begins a new one."
        )
    return BounceResult.of(left)


def _mark_told(store: FileStore) -> None:
    """Remember that the end was told: the next run begins anew. Should that fail, it is told once more."""
    with contextlib.suppress(RecordError, Superseded):
        record = store.load()
        if record is not None and record.finished:
            store.save(record.changed(untold=False))


def exit_status(result: BounceResult) -> int:
    """Give the command's exit status for a finished bounce."""
    if result.state is State.DONE:
        return ExitStatus.DONE
    if result.event in _STATUS_OF:
        return _STATUS_OF[result.event]
    if result.deletion_was_possible and result.event not in NOT_DELETED:
        return ExitStatus.OTHER
    return ExitStatus.REFUSED


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn a first SIGINT, SIGTERM or SIGHUP into stop(); a second one ends at once, as the record allows."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise _LeftAtOnce
        asked.append(number)

    heeded = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    main()

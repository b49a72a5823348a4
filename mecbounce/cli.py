"""The command `mecbounce`: one bounce from a terminal, with a record that survives it.

Exit status: 0 done; 2 usage; 3 refused or given up before the deletion, the pod runs on; 4 not terminated in time;
5 deleted and not back in time; 6 another runner has it; 75 interrupted, run again to resume; 1 anything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

import structlog
from pydantic import ValidationError

try:
    import typer
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text
except ImportError:
    raise SystemExit("mecbounce: the command needs an extra: pip install 'mecbounce[cli]'") from None

from mecbounce import diagram as drawing
from mecbounce.bounce import BounceTask, Plan, plan, refuse_foreign
from mecbounce.errors import (
    ClusterError,
    Interrupted,
    MecBounceError,
    RecordError,
    RecordNotSaved,
    Superseded,
)
from mecbounce.machine import FINAL, Event, State
from mecbounce.model import (
    BounceRecord,
    BounceRequest,
    BounceResult,
    ClusterType,
    NodeRef,
    Notice,
    ReadyWhen,
    Timeouts,
    first_fault,
)
from mecbounce.protection import AnnotationProtection
from mecbounce.stores import FileStore

OK, OTHER, USAGE, REFUSED, NOT_TERMINATED, NOT_BACK, SUPERSEDED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 75

_STATUS_OF = {
    Event.TERMINATION_TIMEOUT: NOT_TERMINATED,
    Event.NOT_RECREATED: NOT_BACK,
    Event.READY_TIMEOUT: NOT_BACK,
}

_STATUS_OF_ERROR = (  # the first that fits
    (Interrupted, INTERRUPTED),
    (Superseded, SUPERSEDED),
    (RecordNotSaved, OTHER),
    (ClusterError, REFUSED),
    (MecBounceError, USAGE),
)

app = typer.Typer(
    name="mecbounce",
    help="Bounce one application node on Kubernetes: delete its pod and wait until its replacement has started.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class UsageProblem(MecBounceError):
    """What was asked can't be: the message names the option."""


class Output(StrEnum):
    """How to print the result."""

    TEXT = "text"
    JSON = "json"


Pod = Annotated[str, typer.Argument(metavar="POD", help="the pod to bounce")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="its namespace; default: the context's")]
Kubeconfig = Annotated[Path | None, typer.Option(help="default: $KUBECONFIG, then ~/.kube/config")]
KubeContext = Annotated[str | None, typer.Option("--context", help="default: the kubeconfig's current context")]
NodeOption = Annotated[
    str | None,
    typer.Option("--node", metavar="GROUP/VERSION/PLURAL/NAME", help="the custom resource that the pod is made from"),
]
GitOps = Annotated[bool, typer.Option("--gitops", help="the cluster's resources are changed in Git")]
Force = Annotated[bool, typer.Option("--force", help="bounce a node that rebuilds, or a pod that no controller owns")]
PodUid = Annotated[
    str | None, typer.Option("--pod-uid", help="bounce this incarnation only; if it has gone, just wait")
]
ProtectionOption = Annotated[
    str | None,
    typer.Option("--protection-annotation", metavar="KEY=VALUE", help="set this annotation to VALUE before deleting"),
]
TerminationTimeout = Annotated[
    str | None, typer.Option(metavar="DURATION", help="such as 90s or 10m; default: 10m, or the grace period if longer")
]
ReadyTimeout = Annotated[
    str | None, typer.Option(metavar="DURATION", help="such as 90s or 10m; default: 10m, or the startup probe's budget")
]
ReadyWhenOption = Annotated[ReadyWhen, typer.Option(help="what counts as back")]
StateFile = Annotated[Path | None, typer.Option("--state", metavar="FILE", help="where the record lies")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="how to print the result")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="log to standard error")]


@app.command()
def run(
    pod: Pod,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: KubeContext = None,
    node: NodeOption = None,
    gitops: GitOps = False,
    force: Force = False,
    pod_uid: PodUid = None,
    protection_annotation: ProtectionOption = None,
    termination_timeout: TerminationTimeout = None,
    ready_timeout: ReadyTimeout = None,
    ready_when: ReadyWhenOption = ReadyWhen.AUTO,
    state: StateFile = None,
    output: OutputOption = Output.TEXT,
    verbose: Verbose = False,
) -> int:
    """Bounce a pod, or resume a bounce that was interrupted."""
    request, kube = _request(
        pod,
        namespace=namespace,
        kubeconfig=kubeconfig,
        context=context,
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
    return _bounce(BounceInTerminal(request, kube.name, output, plain=verbose), kube.cluster, store, protection)


@app.command("plan")
def show_plan(
    pod: Pod,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: KubeContext = None,
    node: NodeOption = None,
    gitops: GitOps = False,
    force: Force = False,
    pod_uid: PodUid = None,
    protection_annotation: ProtectionOption = None,
    termination_timeout: TerminationTimeout = None,
    ready_timeout: ReadyTimeout = None,
    ready_when: ReadyWhenOption = ReadyWhen.AUTO,
    output: OutputOption = Output.TEXT,
) -> int:
    """Ask every check, and the API server for a dry run of the deletion. Changes nothing."""
    request, kube = _request(
        pod,
        namespace=namespace,
        kubeconfig=kubeconfig,
        context=context,
        node=node,
        gitops=gitops,
        force=force,
        pod_uid=pod_uid,
        termination_timeout=termination_timeout,
        ready_timeout=ready_timeout,
        ready_when=ready_when,
    )
    _protection(protection_annotation, kube.cluster)
    found = plan(request, kube.cluster)
    if output is Output.JSON:
        print(json.dumps(_plan_json(found), indent=2))
    else:
        Console(highlight=False).print(_plan_text(request, found))
    return OK if found.goes_on else REFUSED


@app.command()
def status(state: Annotated[Path, typer.Option("--state", metavar="FILE", help="the record")]) -> int:
    """Tell where a bounce stands, from its record alone."""
    record = _stored(state)
    console = Console(highlight=False)
    console.print(_screen(record, datetime.now(UTC)))
    if record.finished:
        _print_end(console, BounceResult.of(record))
    return OK


@app.command()
def diagram(
    state: Annotated[Path | None, typer.Option("--state", metavar="FILE", help="mark the path of this record")] = None,
) -> int:
    """Print the machine as a Mermaid diagram."""
    print(drawing.bounce(_stored(state) if state else None), end="")
    return OK


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
        return OK
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
        protection = _protection("express.example.com/shutdown-protection=disabled", kube.cluster)
        store = FileStore(Path(folder) / "mec-0.json")
        return _bounce(BounceInTerminal(request, kube.name, output), kube.cluster, store, protection)


def main() -> NoReturn:
    """Run the command; every foreseen error is one line on standard error."""
    _log_to_stderr(logging.ERROR)
    try:
        status_code = app(sys.argv[1:] or ["--help"], prog_name="mecbounce", standalone_mode=False) or OK
    except typer.TyperException as error:
        status_code = _complain(" ".join(error.format_message().split()), error.exit_code)
    except _LeftAtOnce:
        status_code = _complain("Left at once. The record is saved: run again to resume.", INTERRUPTED)
    except (typer.Abort, KeyboardInterrupt):
        status_code = _complain("Interrupted.", OTHER)
    except MecBounceError as error:
        where = "--state: " if isinstance(error, RecordError) else ""
        status_code = _complain(
            f"{where}{error}", next(code for kind, code in _STATUS_OF_ERROR if isinstance(error, kind))
        )
    except BrokenPipeError:
        _discard_stdout()
        status_code = OTHER
    sys.exit(status_code)


class _LeftAtOnce(BaseException):
    """A second signal. No handler of errors may take it for one."""


def _complain(message: str, status_code: int) -> int:
    print(f"mecbounce: {message}", file=sys.stderr)
    return status_code


# --- what was asked ----------------------------------------------------------------------------------------------


class Kube:
    """The cluster that the options name."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        from mecbounce.cluster import KubernetesCluster  # noqa: PLC0415 -- takes a third of a second

        no_kubeconfig = kubeconfig is None and context is None and not os.environ.get("KUBECONFIG")
        if no_kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ and not _home("~/.kube/config").exists():
            self.name, self.namespace, self.cluster = "in-cluster", _own_namespace(), KubernetesCluster.in_cluster()
        else:
            self.name, self.namespace = KubernetesCluster.describe_kubeconfig(kubeconfig, context)
            self.cluster = KubernetesCluster.from_kubeconfig(kubeconfig, context)


def _request(
    pod: str,
    *,
    kubeconfig: Path | None,
    namespace: str | None = None,
    context: str | None = None,
    node: str | None = None,
    gitops: bool = False,
    force: bool = False,
    pod_uid: str | None = None,
    termination_timeout: str | None = None,
    ready_timeout: str | None = None,
    ready_when: ReadyWhen = ReadyWhen.AUTO,
) -> tuple[BounceRequest, Kube]:
    """Make a request of the options. What is wrong with the options alone is said before a kubeconfig is opened."""
    timeouts = {
        "termination": _duration("--termination-timeout", termination_timeout),
        "ready": _duration("--ready-timeout", ready_timeout),
    }
    with _fields_named():
        request = BounceRequest(
            namespace="default" if namespace is None else namespace,
            pod=pod,
            node=_node_ref(node),
            cluster_type=ClusterType.K8S_GITOPS if gitops else ClusterType.K8S,
            force=force,
            pod_uid=pod_uid,
            timeouts=Timeouts.model_validate(timeouts),
            ready_when=ready_when,
        )
    kube = Kube(kubeconfig, context)
    if namespace is None:
        with _fields_named(f"context {kube.name}: "):
            request = BounceRequest.model_validate(request.model_dump() | {"namespace": kube.namespace})
    return request, kube


@contextlib.contextmanager
def _fields_named(where: str = "") -> Iterator[None]:
    """Turn pydantic's error into one line that names the field."""
    try:
        yield
    except ValidationError as error:
        field, fault = first_fault(error)
        raise UsageProblem(f"{where}{field}: {fault.removeprefix('Value error, ')}") from None


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
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
    if not text or match is None:
        raise UsageProblem(f"{option}: {text!r} is not a duration such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= 7 * 24 * 3600:
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
    folder = _home(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "mecbounce"
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", kube.name)[:60]
    server = hashlib.sha256(f"{kube.name} {kube.cluster.server}".encode()).hexdigest()[:8]
    return folder / f"{readable}-{server}_{request.namespace}_{request.pod}.json"


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
        _discard_stdout()


def _discard_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends


class BounceInTerminal:
    """One bounce as it is seen: a live screen in a terminal, plain lines elsewhere, one JSON document for programs."""

    def __init__(self, request: BounceRequest, context: str, output: Output, *, plain: bool = False) -> None:
        self.request = request
        self.output = output
        self._console = _LastingConsole(highlight=False, stderr=output is Output.JSON)
        self._console.soft_wrap = not self._console.is_terminal  # a log line is one line
        self._title = f"{request.pod} in {request.namespace} ({context})"
        self._record: BounceRecord | None = None
        live = self._console.is_terminal and not self._console.is_dumb_terminal and not plain
        self._live = Live(self, console=self._console, refresh_per_second=4) if live else None
        self._said: State | None = None

    def __rich__(self) -> Group:
        parts: list[Any] = [Text(self._title, style="bold")]
        if self._record is not None:
            parts.append(_screen(self._record, datetime.now(UTC)))
        return Group(*parts)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def observe(self, record: BounceRecord) -> None:
        """Take a saved record in."""
        if self._record is None and self._live is None:
            self._line(self._title)
        self._record = record
        if self._live is not None:
            self._live.refresh()
        elif record.state is not self._said:
            self._said = record.state
            limit = f", at most {_limit(record):.0f} s" if record.deadline else ""
            self._line(f"{record.state}{limit}")

    def notify(self, notice: Notice) -> None:
        """Say a notice where the screen does not show it."""
        if self._live is None:
            self._line(f"notice: {notice.message}")

    def end(self, result: BounceResult) -> None:
        """Print how it ended."""
        if self.output is Output.JSON:
            print(result.model_dump_json(indent=2))
        else:
            _print_end(self._console, result)

    def _line(self, text: str) -> None:
        self._console.print(f"{datetime.now(UTC):%H:%M:%SZ} {text}", markup=False)


def _bounce(terminal: BounceInTerminal, cluster: Any, store: FileStore, protection: AnnotationProtection | None) -> int:
    """Bounce, or resume; what a finished bounce left is set aside first."""
    with _stop_signals() as stop:
        try:
            if (left := store.load()) is not None:
                # An ended bounce with a mistyped --node must not stand in the way of the corrected one.
                refuse_foreign(left, terminal.request, store, ("namespace", "pod"))
                store.set_aside()
            with terminal:
                result = BounceTask(
                    terminal.request,
                    cluster,
                    store,
                    protection=protection,
                    notify=terminal.notify,
                    observe=terminal.observe,
                    stop=stop,
                ).perform()
        except RecordNotSaved as error:
            if store.load() is None:  # not even begun
                raise UsageProblem(f"--state: {error}") from error
            raise
    terminal.end(result)
    return exit_status(result)


def exit_status(result: BounceResult) -> int:
    """Give the command's exit status for a finished bounce."""
    if result.state is State.DONE:
        return OK
    unsure = (Event.CLUSTER_UNREACHABLE, Event.ACCESS_DENIED)
    if result.event in unsure and result.deletion_was_possible:
        return OTHER
    return _STATUS_OF.get(result.event, REFUSED)


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


def _screen(record: BounceRecord, now: datetime) -> Group:
    """Lay out where a bounce stands: the states with their times, then the notices."""
    table = Table.grid(padding=(0, 2))
    ends = [*(passage.at for passage in record.path[1:]), now]
    seen = {passage.state: (end - passage.at).total_seconds() for passage, end in zip(record.path, ends, strict=True)}
    for state in State:
        if state in FINAL and state not in seen:
            continue
        if state is State.FAILED or (record.state is State.FAILED and state is record.path[-2].state):
            mark, style = "✘", "red"
        elif state is record.state and state is not State.DONE:
            mark, style = "●", "cyan"
        else:
            mark, style = ("✔", "green") if state in seen else ("·", "dim")
        took = "" if state not in seen or state in FINAL else f"{max(0.0, seen[state]):6.1f} s"
        limit = f"of at most {_limit(record):.0f} s" if state is record.state and record.deadline else ""
        table.add_row(Text(mark, style=style), Text(state, style=style if state is record.state else ""), took, limit)
    notices = [Text(f"! {notice.message}", style="yellow") for notice in record.notices]
    return Group(table, *notices)


def _limit(record: BounceRecord) -> float:
    return (record.deadline - record.entered_at).total_seconds() if record.deadline else 0.0


def _print_end(console: Console, result: BounceResult) -> None:
    console.print(Text(result.message, style="green" if result.state is State.DONE else "red"))
    if result.advice:
        console.print(Text(result.advice))


def _plan_text(request: BounceRequest, found: Plan) -> Group:
    lines: list[Text] = [Text(f"{request.pod} in {request.namespace}", style="bold")]
    for answer in found.verdict.answers:
        style = "red" if answer.ends else "yellow" if answer.yes else "green"
        lines.append(Text(f"{'yes' if answer.yes else 'no':>4}  {answer.check.question}", style=style))
        if answer.notice:
            lines.append(Text(f"      {answer.notice}", style="yellow"))
    lines.append(Text(f"{found.verdict.message} {found.verdict.advice}".rstrip()))
    if found.dry_run:
        lines.append(Text(f"Dry run of the deletion: {found.dry_run}.", style="red" if found.refused else "green"))
    if found.termination_timeout is not None and found.goes_on:
        lines.append(Text(f"It would wait {found.termination_timeout:.0f} s at most for the pod to go,"))
        lines.append(Text(f"and {found.ready_timeout:.0f} s at most for its replacement to be back."))
    lines += [Text(f"! {notice}", style="yellow") for notice in found.notices]
    return Group(*lines)


def _plan_json(found: Plan) -> dict[str, Any]:
    return {
        "goes_on": found.goes_on,
        "event": found.verdict.event,
        "message": found.verdict.message,
        "advice": found.verdict.advice,
        "checks": [
            {"code": one.check.code, "question": one.check.question, "answer": one.yes, "notice": one.notice}
            for one in found.verdict.answers
        ],
        "pod": {"name": found.pod.name, "uid": found.pod.uid} if found.pod else None,
        "dry_run": found.dry_run,
        "termination_timeout": found.termination_timeout,
        "ready_timeout": found.ready_timeout,
        "notices": list(found.notices),
    }


if __name__ == "__main__":
    main()

"""``python -m mecbounce.sandbox``: serve a sandbox until SIGINT or SIGTERM. It prints the path of its kubeconfig."""

from __future__ import annotations

import argparse
import signal

from mecbounce.sandbox.cluster import Sandbox
from mecbounce.sandbox.resources import EXPRESS_NODES, ResourceType
from mecbounce.sandbox.scenarios import SCENARIOS


def resource_type(text: str) -> ResourceType:
    """Read GROUP/VERSION/PLURAL/KIND."""
    parts = text.split("/")
    if len(parts) != 4 or not all(parts):  # noqa: PLR2004  # the four parts named above
        raise argparse.ArgumentTypeError(f"{text!r} is not GROUP/VERSION/PLURAL/KIND")
    group, version, plural, kind = parts
    return ResourceType(group, version, plural, kind)


def speed(text: str) -> float:
    """Read a factor above 0."""
    factor = float(text)
    if not factor > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return factor


def main() -> int:
    """Serve until a signal comes; return the exit status."""
    scenarios = "\n".join(f"  {scenario.name:17} {scenario.summary}" for scenario in SCENARIOS.values())
    parser = argparse.ArgumentParser(
        prog="python -m mecbounce.sandbox",
        description="Serve an embedded Kubernetes cluster on loopback and print the path of its kubeconfig.",
        epilog=f"scenarios (each has an application node expressnodes/mec-0, which ...):\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--resource",
        type=resource_type,
        action="append",
        default=[],
        metavar="GROUP/VERSION/PLURAL/KIND",
        help="serve this custom resource too (repeatable)",
    )
    parser.add_argument("--scenario", choices=SCENARIOS, metavar="NAME", help="set this scenario up; see below")
    parser.add_argument("--speed", type=speed, default=1.0, help="sandbox seconds in one real second")
    options = parser.parse_args()

    signals = {signal.SIGINT, signal.SIGTERM}
    # The threads inherit this, so a signal reaches only `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with Sandbox((EXPRESS_NODES, *options.resource), speed=options.speed) as sandbox:
        if options.scenario:
            SCENARIOS[options.scenario].set_up(sandbox)
        print(sandbox.kubeconfig, flush=True)  # noqa: T201  # the command's output
        signal.sigwait(signals)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

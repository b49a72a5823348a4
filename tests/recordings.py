"""What the command shows, recorded: `python tests/recordings.py` writes the transcripts of all demos and the stills.

Both are committed. What differs from run to run (times, UIDs) is made the same in a transcript, and left out of the
comparison of a still.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import structlog
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from mecbounce import BounceRequest, BounceTask, FileStore, KubernetesCluster, NodeRef, State
from mecbounce.cli import plan_page, screen
from mecbounce.planning import plan
from mecbounce.progress import Progress
from mecbounce.sandbox import Sandbox
from mecbounce.sandbox.scenarios import SCENARIOS

ROOT = Path(__file__).parent.parent
TRANSCRIPTS = ROOT / "tests" / "transcripts"
STILLS = ROOT / "docs" / "stills"
COMMAND = Path(sys.executable).with_name("mecbounce")
LONGEST_DEMO = 600.0  # seconds; they run side by side, and on a busy machine 98 were seen
COLUMNS = 80
FREE = (0, 2, 1, 0)  # above, right, below, left of a still: where its font is another one, nothing is cut off
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VARIES = (
    (re.compile(r"^\d\d:\d\d:\d\dZ", re.MULTILINE), "hh:mm:ssZ"),
    (re.compile(r"bounce [0-9a-f]{12} "), "bounce ID "),
    (re.compile(r"/\S*/kubeconfig"), "KUBECONFIG"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"\b(after|restart count) \d+"), r"\1 N"),
    # The limit too: it is counted anew from the container's start, which comes a second late on a busy machine.
    (re.compile(r"\bwaiting, \d+ s( of at most )\d+"), r"waiting, N s\1N"),
    (re.compile(r"\d+( of at most \d+ tries used up, )\d+"), r"N\1N"),
    (re.compile(r"\d+( s left of the grace period)"), r"N\1"),
    (re.compile(r"^Took: .*$", re.MULTILINE), "Took: N s: each state that took time N s, the rest 0.0 s"),
)


def transcript(scenario: str) -> str:
    """Run the scenario's demo, piped; gives the command, all that it printed, and its exit status."""
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")}
    words = ["demo", "--scenario", scenario]
    ran = subprocess.run(
        [COMMAND, *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=LONGEST_DEMO,
        check=False,
    )
    return steady(f"$ mecbounce {' '.join(words)}\n{ran.stdout}exit status {ran.returncode}\n")


def steady(text: str) -> str:
    """Make the same of it whatever the time and the UIDs."""
    uids = dict.fromkeys(UID.findall(text))
    for number, uid in enumerate(uids, start=1):
        text = text.replace(uid, f"UID-{number}")
    for pattern, said in VARIES:
        text = pattern.sub(said, text)
    return text


def transcripts(scenarios: Collection[str] = tuple(SCENARIOS)) -> dict[str, str]:
    """Record scenarios side by side: they mostly wait."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        return dict(zip(scenarios, pool.map(transcript, scenarios), strict=True))


def stills() -> Iterator[tuple[str, str]]:
    """Bounce a node and catch the screen in the middle; then plan another bounce. Gives names and SVG images."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        SCENARIOS["catch-up"].set_up(sandbox)
        cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        node = NodeRef(group="express.example.com", version="v1", plural="expressnodes", name="mec-0")
        request = BounceRequest(namespace="default", pod="mec-0", node=node)
        store = FileStore(Path(folder) / "record")
        caught: list[Text] = []

        def progress(found: Progress) -> None:
            record = store.load()
            if record is not None and caught_in_the_middle(found):
                caught.append(screen.screen(record, datetime.now(UTC), COLUMNS, where="sandbox", look=found.look))

        BounceTask(request, cluster, store, progress=progress).perform()
        yield "run", svg("mecbounce run mec-0", caught[0])
        yield "plan", svg("mecbounce plan mec-0", plan_page.plan_page(plan(request, cluster), screen.heading(request)))


def caught_in_the_middle(found: Progress) -> bool:
    """Whether the replacement runs for a while and has not started."""
    return found.state is State.AWAIT_READY and re.search(r": [1-9]\d* of", found.text) is not None


# Without the fonts that rich's own would fetch from elsewhere.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def svg(title: str, shown: RenderableType) -> str:
    console = Console(width=COLUMNS + FREE[1], record=True, file=StringIO(), force_terminal=True, highlight=False)
    console.print(Padding(shown, FREE))
    return console.export_svg(title=title, code_format=_SVG, unique_id="still")


def words_of(image: str) -> str:
    """Give what is written in an SVG image, without what differs from run to run."""
    written = re.sub(r"<style>.*?</style>", "", image, flags=re.DOTALL)
    return re.sub(rf"{UID.pattern}|\b[0-9a-f]{{8}}\b|\d+", "#", re.sub(r"<[^>]*>", " ", written))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    TRANSCRIPTS.mkdir(exist_ok=True)
    STILLS.mkdir(exist_ok=True)
    for name, text in transcripts().items():
        (TRANSCRIPTS / f"{name}.txt").write_text(text, encoding="utf-8")
    for name, image in stills():
        (STILLS / f"{name}.svg").write_text(image, encoding="utf-8")

"""Stories: bounces, each with what happens around it, that a module plays side by side before its tests judge them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .helpers import LEAVES_SLOWLY, Command, Finished, Json
from .real import Site


@dataclass(frozen=True)
class Bench:
    """Where a story is played: a namespace, and the command to bounce pods of it."""

    site: Site
    command: Command

    def run(self, pod: str, *options: str) -> Finished:
        """Bounce a pod that is made from no custom resource."""
        return self.command.run("run", *self.site.bare_words(pod), *options)

    def run_while_it_stops(self, pod: str, change: Callable[[], object], *options: str) -> Finished:
        """Bounce such a pod, and change something once it is being deleted."""
        with self.command.start("run", *self.site.bare_words(pod), *options) as process:
            try:
                self.site.terminating(pod)
                change()
                return self.command.finish(process)
            finally:
                process.kill()

    def slow(self, **spec: Any) -> Json:
        """Give the spec of a pod that takes several seconds to stop."""
        return self.site.spec(LEAVES_SLOWLY, grace=10) | spec


Story = Callable[[Bench], Any]
Told = Callable[[str], Any]


@contextmanager
def played(stories: Mapping[str, Story], bench: Bench) -> Iterator[Told]:
    """Play all at once: most of their time they wait for a kubelet. Gives how one ended, or raises its error."""
    bench.site.operator.sweeps = True
    with ThreadPoolExecutor(len(stories)) as pool:
        endings = {name: pool.submit(story, bench) for name, story in stories.items()}
        yield lambda name: endings[name].result()

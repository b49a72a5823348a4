"""Change the core's code in many small ways, and list the changes that no unit test notices: the survivors.

mutmut makes the changes and runs the tests; [tool.mutmut] in pyproject.toml says of which files. tests/survivors.txt
has the survivors that are accepted, with the reasons. Any other survivor is a gap in the tests: the run fails.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path

ROOT = Path(__file__).parent.parent
MUTANTS = ROOT / "mutants"
ACCEPTED = ROOT / "tests" / "survivors.txt"
MUTMUT = Path(sys.executable).with_name("mutmut")
SURVIVED = {0, 5, 33}  # mutmut's codes: the tests pass, or none runs that function


def run(patterns: list[str], processes: int) -> None:
    """Let mutmut try the mutants whose names match, or all, on a new copy of the code."""
    shutil.rmtree(MUTANTS, ignore_errors=True)
    command = [str(MUTMUT), "run", "--max-children", str(processes), *patterns]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 -- no shell
    if done.returncode:
        sys.exit(f"mutmut failed:\n{done.stdout[-4000:]}")


def results() -> tuple[Counter[str], Counter[str], list[str]]:
    """Read mutmut's results: how many mutants were tried and killed in each file, and the survivors."""
    tried, killed, survivors = Counter[str](), Counter[str](), []
    for meta in sorted(MUTANTS.glob("mecbounce/**/*.meta")):
        source = meta.with_suffix("")
        text = source.read_text()
        lines = text.splitlines()
        nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
        functions = {node.name: lines[node.lineno - 1 : node.end_lineno] for node in nodes}
        for key, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            if code is None:  # not tried
                continue
            tried[source.stem] += 1
            if code in SURVIVED:
                name = key.rpartition(".")[2]
                survivors.append(described(source.stem, name, functions))
            else:
                killed[source.stem] += 1
    return tried, killed, survivors


def described(module: str, mutant: str, functions: dict[str, list[str]]) -> str:
    """Give the function and the lines that differ. mutmut's own number of a mutant changes with the code."""
    mangled = mutant.partition("__mutmut_")[0]  # x_function, or xǁClassǁmethod
    original, function = f"{mangled}__mutmut_orig", mangled[2:].replace("ǁ", ".")
    before, after = ([line.replace(name, "") for line in functions[name]] for name in (original, mutant))
    differing = unified_diff(before, after, n=0, lineterm="")
    changed = [line for line in differing if not line.startswith(("---", "+++", "@@"))]
    return "\n".join([f"{module}.{function}", *(f"{line[0]} {line[1:].strip()}" for line in changed)])


def accepted() -> set[str]:
    """Read the accepted survivors: paragraphs as `described` gives them. A line with # in front is a reason."""
    lines = [line for line in ACCEPTED.read_text().splitlines() if not line.startswith("#")]
    return set(filter(None, (part.strip() for part in "\n".join(lines).split("\n\n"))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", action="store_true", help="try one mutant in five; the day's seed chooses which")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at the same time")
    options = parser.parse_args()
    seed = int(os.environ.get("MECBOUNCE_TEST_SEED") or f"{datetime.now(UTC):%Y%m%d}")
    digits = [seed % 5, seed % 5 + 5] if options.sample else []
    run([f"*__mutmut_*{digit}" for digit in digits], options.processes)
    tried, killed, survivors = results()
    for module in sorted(tried):
        print(f"{module:<10} {killed[module]:>5} of {tried[module]:>5} mutants killed")
    chosen = f" (a sample, by MECBOUNCE_TEST_SEED={seed})" if options.sample else ""
    print(f"{'all':<10} {killed.total():>5} of {tried.total():>5}: {killed.total() / tried.total():.1%}{chosen}")
    known = accepted()
    new = sorted(set(survivors) - known)
    gone = [] if options.sample else sorted(known - set(survivors))
    if new:
        print("\nNo unit test notices these changes. Add a test, or list them in tests/survivors.txt with the reason:")
        print("", *new, sep="\n\n")
    if gone:
        print("\nThese are in tests/survivors.txt, and no longer survive. Take them out:", *gone, sep="\n\n")
    if new or gone or not tried:
        sys.exit(1)


if __name__ == "__main__":
    main()

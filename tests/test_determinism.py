"""The same input gives the same output in every process: nothing depends on the order of a set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import CASES, ROOT

pytestmark = pytest.mark.interpreter


# Explains every step of every case of the corpus on every scheme, and of one more case with many findings at once. One
# process does it all, or several share the work.
TELL = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from sockiter.backend import run
from sockiter.cases import dumps, files, load, loads
from sockiter.claims import hazards_of, in_order
from sockiter.oracle import judge
from sockiter.replay import refused, with_expects
from sockiter.targets import SCHEME_TARGETS


def tell(case):
    lines = []
    able = [target for target in SCHEME_TARGETS if not refused(case, target)]
    for target in able:
        with target.session() as session:
            history = run(session, target, case.operations, slots=case.slots)
        lines.append(f"{target.name} {history} {judge(history)} {in_order(hazards_of(case.operations))}")
    return "\\n".join([*lines, dumps(with_expects(case, able))])


if __name__ == "__main__":
    adds = "".join(f"add S{n} tail in {n % 3}\\n" for n in range(20))
    removes = "".join(f"remove S{n}\\n" for n in range(9))
    inside = "".join(f"  at show {n}: reinsert S{n + 3} tail\\n  at realloc {n}: fail\\n" for n in range(1, 6))
    much = f"batch 2\\n{adds}open\\nread 9\\n{inside}{removes}rehash S12 to 1\\nread all\\n"
    cases = [*map(load, files([Path(sys.argv[1])])), loads(much)]
    with ProcessPoolExecutor(int(sys.argv[2])) as workers:
        print(*workers.map(tell, cases, chunksize=3), sep="\\n")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """TELL as a file: wherever processes are not forked, a worker imports the main module, and `python -c` has none."""
    file = tmp_path / "tell.py"
    file.write_text(TELL)
    return file


def output(program: Path, *, hash_seed: str, workers: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), str(CASES), str(workers)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.unmeasured
def test_the_same_cases_give_the_same_histories_whatever_the_seed_of_hashes_and_however_many_work_on_them(
    program: Path,
) -> None:
    once = output(program, hash_seed="1", workers=1)
    again = output(program, hash_seed="2", workers=3)
    assert once == again
    # It did come to sets with several members: the findings of one kind.
    assert once.count("kind='skip'") > 3
    assert "offset-udp History(opened=('A', 'B', 'C', 'D')" in once

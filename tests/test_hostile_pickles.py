"""Pickles that mean harm, and damaged ones: each is read as a table or refused in one sentence, with little memory and time, and changes nothing."""

import json
import pickle
import pickletools
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # it also runs as a program of its own, with Python's safe path
import hostile

from tfbpmodeling.config import InputError
from tfbpmodeling.safe_pickle import PICKLE_TYPES, read_notes, safe_unpickle

MEMORY, SECONDS = 3 << 30, 240  # that an interpreter may have for all of them; honest ones need a tenth
MUTATIONS = dict(n=400, seed=19)


def read_all(place: Path) -> dict[str, list]:
    "What becomes of each pickle: ['read', rows, columns, alphas], ['refused', sentence], or what else was raised."
    found = {}
    for name, content in (*hostile.pickle_bombs(), *hostile.mutated_pickles(**MUTATIONS)):
        place.write_bytes(content)
        try:
            table, alphas = safe_unpickle(place)
            found[name] = ["read", *table.shape, len(alphas)]
        except InputError as e:
            found[name] = ["refused", str(e)]
        except BaseException as e:
            found[name] = ["raised", f"{type(e).__name__}: {e}"]
    return found


def main() -> None:
    "All of them in this interpreter, whose memory and time are bounded."
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    before = {cls: set(vars(cls)) for cls in (pd.DataFrame, pd.Index, pd.RangeIndex)}
    with tempfile.TemporaryDirectory() as folder:
        found = read_all(Path(folder) / "x.pkl")
    changed = [cls.__name__ for cls, names in before.items() if set(vars(cls)) != names]
    print(json.dumps(dict(found=found, changed=changed)))


@pytest.fixture(scope="module")
def outcome() -> dict:
    ran = subprocess.run([sys.executable, __file__], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert ran.returncode == 0, (ran.returncode, ran.stderr[-500:])
    return json.loads(ran.stdout)


def test_there_are_many_cases(outcome):
    assert len(list(hostile.pickle_bombs())) >= 200 and len(outcome["found"]) >= 600


def test_each_is_read_or_refused_in_one_sentence(outcome):
    wrong = {name: found for name, found in outcome["found"].items() if found[0] == "raised"}
    sentences = {name: found[1] for name, found in outcome["found"].items() if found[0] == "refused"}
    wrong |= {name: said for name, said in sentences.items() if not said.startswith("x.pkl: ") or not said.isprintable() or len(said) > 400}
    assert not wrong


def test_a_table_that_is_read_has_the_size_that_its_bytes_have(outcome):
    "A mutation may change a number or a letter of a name; it makes no rows or columns."
    shapes = {name: found[1:3] for name, found in outcome["found"].items() if found[0] == "read"}
    assert shapes.pop("one array as 3,000 columns") == [2, 3000], "large, and no larger than the file"
    assert all(shape in ([2, 1], [7, 3], [7, 4]) for shape in shapes.values()), shapes


def test_nothing_of_pandas_is_changed(outcome):
    assert outcome["changed"] == []


@pytest.mark.parametrize(
    "step, says",
    [
        (b"r\x00\x2f\x68\x59", "place 1,500,000,000 of a memo that holds 0 values"),
        (b"j\x00\x2f\x68\x59", "place 1,500,000,000 of a memo that holds 0 values"),
        (b"\x95\x00\x00\x00\x00\x00\x00\x00\x40", "announces 4,611,686,018,427,387,904 bytes"),
        (b"\x8e\x00\x00\x00\x00\x00\x00\x00\x40", "expected 4611686018427387904 bytes"),
        (b"\x8a\x09" + b"\x7f" * 9, "more than 64 bits"),
        (b"L" + b"7" * 5000 + b"L\n", "thousands of digits"),
        (b"(" * 101, "more than 100 brackets"),
        (b"N" * 1_000_001, "more than 1,000,000 values wait"),
        (b"\x82\x01", "step EXT1"),
        (b"cos\nsystem\n", "asks for os.system"),
        (b"cos\nsys\x1b[31mtem\n", "asks for 'os.sys"),
    ],
)
def test_what_each_step_may_ask_for(step, says):
    with pytest.raises(InputError, match="damaged or not to be trusted") as refused:
        read_notes(b"\x80\x04]" + step + b".")
    assert says in str(refused.value)


@pytest.mark.parametrize("name", hostile.honest_pickles())
def test_honest_pickles_are_read_to_the_bit(name, tmp_path):
    content = hostile.honest_pickles()[name]
    (tmp_path / "x.pkl").write_bytes(content)
    table, alphas = pickle.loads(content)
    back, read = safe_unpickle(tmp_path / "x.pkl")
    assert list(back.columns) == [str(c) for c in table.columns] and read == [float(a) for a in alphas]
    np.testing.assert_array_equal(back.to_numpy(), table.to_numpy(dtype=float))


def test_published_pickles_are_read_to_the_bit(shared):
    "The authors' own result objects; what Python's reader makes of them is the oracle, which is safe for these files only."
    files = sorted(shared.rglob("result_obj*.pkl"))
    assert len(files) >= 30
    for path in files:
        table, alphas = pickle.loads(path.read_bytes())
        back, read = safe_unpickle(path)
        assert list(back.columns) == list(table.columns) and read == [float(a) for a in alphas]
        np.testing.assert_array_equal(back.to_numpy(), table.to_numpy())
        assert back.to_numpy().flags["C_CONTIGUOUS"] == np.array(table.to_numpy()).flags["C_CONTIGUOUS"], "means round as before"


def test_every_name_that_is_admitted_is_used_by_an_honest_pickle():
    "Names of pandas 2 and of older numpy excepted, which this installation does not write."
    named = set()
    for content in hostile.honest_pickles().values():
        texts = []
        for step, value, _ in pickletools.genops(content):
            if "UNICODE" in step.name:
                texts.append(value)
            elif step.name in ("GLOBAL", "STACK_GLOBAL"):
                named.add(value.split(" ")[1] if value else texts[-1])
    admitted = {name for names in PICKLE_TYPES.values() for name in names}
    assert admitted - named <= {"new_block", "NA"}


if __name__ == "__main__":
    main()

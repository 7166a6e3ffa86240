"""Makers of files that mean harm, or are damaged: each is a generator that a seed fixes. What they are tried on stands in tests/test_hostile_*.py."""

import pickle
import struct
from collections.abc import Iterator

import numpy as np
import pandas as pd

# --- pickles, written step by step


def text(words: str) -> bytes:
    return b"X" + struct.pack("<I", len(words.encode("utf-8", "surrogatepass"))) + words.encode("utf-8", "surrogatepass")


def number(n: int) -> bytes:
    if -(2**31) <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    size = n.bit_length() // 8 + 1
    raw = n.to_bytes(size, "little", signed=True)
    return (b"\x8a" + bytes([size]) if size < 256 else b"\x8b" + struct.pack("<i", size)) + raw


def raw(content: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(content)) + content


def named(where: str) -> bytes:
    module, _, name = where.rpartition(".")
    return b"c" + f"{module}\n{name}\n".encode()


def several(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def listed(*parts: bytes) -> bytes:
    return b"](" + b"".join(parts) + b"e"


def entries(**parts: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in parts.items()) + b"u"


def call(where: str, *given: bytes, state: bytes = b"") -> bytes:
    return named(where) + several(*given) + b"R" + (state + b"b" if state else b"")


def dtype(code: str = "f8", state: bytes = b"") -> bytes:
    usual = several(number(3), text("<"), b"N", b"N", b"N", number(-1), number(-1), number(0))
    return call("numpy.dtype", text(code), b"\x89", b"\x88", state=state or usual)


def array(shape: bytes, values: bytes, kind: bytes = b"", first: bytes = b"", fortran: bytes = b"\x89") -> bytes:
    state = several(number(1), shape, kind or dtype(), fortran, values)
    return call("numpy._core.multiarray._reconstruct", named("numpy.ndarray"), first or several(number(0)), raw(b"b"), state=state)


def columns(*names: bytes) -> bytes:
    kind = dtype("O8", several(number(3), text("|"), b"N", b"N", b"N", number(-1), number(-1), number(63)))
    data = array(several(number(len(names))), listed(*names), kind)
    return index(data)


def index(data: bytes) -> bytes:
    return call("pandas.core.indexes.base._new_Index", named("pandas.Index"), entries(data=data, name=b"N"))


def counted(start: int, stop: int, step: int = 1) -> bytes:
    about = entries(start=number(start), stop=number(stop), step=number(step), name=b"N")
    return call("pandas.core.indexes.base._new_Index", named("pandas.RangeIndex"), about)


def block(values: bytes, at: bytes = b"") -> bytes:
    return call("pandas._libs.internals._unpickle_block", values, at or span(0, 1, 1), number(2))


def span(*ends: int) -> bytes:
    return call("builtins.slice", *map(number, ends))


ONE = array(several(number(1), number(2)), raw(np.array([0.5, 0.4]).tobytes()))


def frame(blocks: bytes = b"", names: bytes = b"", rows: bytes = b"") -> bytes:
    manager = call(
        "pandas.core.internals.managers.BlockManager",
        blocks or several(block(ONE)),
        listed(names or columns(text("P:A")), rows or counted(0, 2)),
    )
    return named("pandas.DataFrame") + b")\x81" + entries(_mgr=manager) + b"b"


def pair(table: bytes = b"", alphas: bytes = b"") -> bytes:
    return b"\x80\x04" + (table or frame()) + (alphas or listed(b"G" + struct.pack(">d", 0.1), b"G" + struct.pack(">d", 0.2))) + b"\x86."


def laughs(n: int = 60) -> bytes:
    "A tuple of two tuples of two tuples …: 2ⁿ leaves in 5·n bytes."
    return b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(n))


def arrow(length=1, nulls=0, offset=0, places=(0, 3), letters=b"P:A", kind="large_string", buffers=None) -> bytes:
    places = np.array(places, dtype="<i8").tobytes()
    wraps = [call("pyarrow.lib.py_buffer", raw(b)) for b in (places, letters)]
    about = several(
        call("pyarrow.lib.type_for_alias", text(kind)),
        *(number(n) for n in (length, nulls, offset)),
        listed(b"N", *wraps) if buffers is None else buffers,
        b"]",
        b"N",
    )
    names = named("pandas.arrays.ArrowStringArray") + b")\x81"
    dtype_ = call("pandas.StringDtype", text("pyarrow"), b"G" + struct.pack(">d", float("nan")))
    return index(names + entries(_pa_array=call("pyarrow.lib._restore_array", about), _dtype=dtype_) + b"b")


def places_and_lengths() -> Iterator[tuple[str, bytes]]:
    "Steps that ask for very much in few bytes."
    for place in (1_500_000_000, 2**31 - 1, 2**32 - 1, 1000):
        yield f"memo place {place}", pair(frame() + b"r" + struct.pack("<I", place))
        yield f"memo place {place}, as text", pair(frame() + b"p%d\n" % place)
        yield f"value from place {place}", pair(alphas=b"j" + struct.pack("<I", place))
    yield "memo place -1", pair(frame() + b"p-1\n")
    yield "a memo place of 5000 digits", pair(frame() + b"p" + b"9" * 5000 + b"\n")
    for code, size in ((b"\x8e", "<Q"), (b"\x8d", "<Q"), (b"\x96", "<Q"), (b"B", "<I"), (b"X", "<I"), (b"T", "<i"), (b"\x8b", "<i")):
        for n in (2**30, 2**31 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1):
            if n < 2 ** (8 * struct.calcsize(size) - (size == "<i")):
                yield f"step {code!r} of {n} bytes", pair(alphas=code + struct.pack(size, n))
    yield "a negative length", pair(alphas=b"\x8b" + struct.pack("<i", -5))
    for n in (10**6, 2**40, 2**62, 2**64 - 1):
        yield f"a frame of {n} bytes", b"\x80\x04\x95" + struct.pack("<Q", n) + pair()[2:]
    for size in (9, 200):
        yield f"a number of {size} bytes", pair(alphas=listed(b"\x8a" + bytes([size]) + b"\x7f" * size))
    yield "a number of 300,000 bytes", pair(alphas=listed(b"\x8b" + struct.pack("<i", 300_000) + b"\x7f" * 300_000))
    yield "a number of 300,000 digits", pair(alphas=listed(b"L" + b"7" * 300_000 + b"L\n"))
    yield "protocol 200", b"\x80\xc8" + pair()[2:]


def depths() -> Iterator[tuple[str, bytes]]:
    "Values that are nested, shared or not there."
    yield "20,000 open brackets", b"\x80\x04" + b"(" * 20_000 + b"."
    yield "50,000 nested tuples", pair(alphas=b"N" + b"\x85" * 50_000)
    yield "50,000 nested lists", pair(alphas=b"]" * 50_000 + b"a" * 49_999)
    yield "20,000 calls of calls", pair(alphas=named("numpy.dtype") * 20_000 + b"N" + b"\x85R" * 20_000)
    yield "1,000,001 values that wait", b"\x80\x04" + b"N" * 1_000_001 + b"."
    yield "2⁶⁰ leaves as penalties", pair(alphas=laughs())
    yield "2⁶⁰ leaves as a shape", pair(frame(several(block(array(laughs(), raw(b""))))))
    yield "2⁶⁰ leaves as a name", pair(frame(names=columns(laughs())))
    yield "2⁶⁰ leaves as a key", pair(frame() + b"}" + laughs() + b"Nsb")
    yield "2⁶⁰ leaves as a state", pair(frame(several(block(array(several(number(1), number(2)), raw(b""), dtype(state=laughs()))))))
    itself = b"]q\x00h\x00ah\x00a"
    yield "a list in itself as penalties", pair(alphas=itself)
    yield "a list in itself as a shape", pair(frame(several(block(array(itself, raw(b""))))))
    yield "a list in itself as names", pair(frame(names=columns(itself)))
    for step in (b"a", b"s", b"b", b"R", b"\x81", b"\x85", b"e", b"u", b"t", b"\x93", b"0", b"1", b"2", b"d", b"l", b"o", b"\x94"):
        yield f"step {step!r} without values", b"\x80\x04" + step + b"."
    for step in (b"Pid\n", b"NQ", b"\x82\x01", b"\x84\x01\x00\x00\x00", b"\x97", b"(ios\nsystem\n", b"\x8f", b"(\x91", b"NNN\x92"):
        yield f"step {step!r}", pair(alphas=step)


def arrays() -> Iterator[tuple[str, bytes]]:
    "Arrays whose shape, dtype and values do not fit, or that ask for much."
    good = raw(np.array([0.5, 0.4]).tobytes())
    sizes = (-1, 3, 10**9, 10**12, 2**40, 2**62, 2**63, -(2**63))
    for n in sizes:
        yield f"a shape of 1 × {n}", pair(frame(several(block(array(several(number(1), number(n)), good)))))
        yield f"a first shape of {n}", pair(frame(several(block(array(several(number(1), number(2)), good, first=several(number(n)))))))
        yield f"rows {n}", pair(frame(rows=counted(0, n)))
        yield f"columns {n}", pair(frame(names=counted(0, n)))
    for step in (0, -1, 2**62):
        yield f"rows in steps of {step}", pair(frame(rows=counted(0, 2, step)))
    yield (
        "no value in very many rows",
        pair(frame(several(block(array(several(number(0), number(10**8)), raw(b"")), span(0, 0, 1))), columns(), counted(0, 10**8))),
    )
    yield "64 dimensions", pair(frame(several(block(array(several(*[number(1)] * 64), good)))))
    yield "a shape that is a number", pair(frame(several(block(array(number(2), good)))))
    yield "a shape of text", pair(frame(several(block(array(several(text("1"), text("2")), good)))))
    codes = (
        "V1000000000",
        "S1000000000",
        "U500000000",
        "O8",
        "M8[ns]",
        "m8",
        "f16",
        "c16",
        "f8,f8",
        "(1000000000,)f8",
        "3000f8",
        "a0",
        "f",
        "",
        "8" * 5000,
        "{'names'",
    )
    for code in codes:
        yield f"dtype {code[:20]}", pair(frame(several(block(array(several(number(1), number(2)), good, dtype(code))))))
    states = {
        "with fields": several(
            number(3), text("<"), b"N", several(text("a")), entries(a=several(dtype(), number(10**9))), number(8), number(1), number(0)
        ),
        "of size 1": several(number(3), text("<"), b"N", b"N", b"N", number(1), number(1), number(0)),
        "of size 2³¹ − 1": several(number(3), text("<"), b"N", b"N", b"N", number(2**31 - 1), number(1), number(0)),
        "with flags": several(number(3), text("|"), b"N", b"N", b"N", number(-1), number(-1), number(63)),
        "with a subarray": several(
            number(3), text("<"), several(dtype(), several(number(10**9))), b"N", b"N", number(8), number(1), number(0)
        ),
        "of one value": several(number(3)),
        "with an odd order": several(number(3), text("?"), b"N", b"N", b"N", number(-1), number(-1), number(0)),
    }
    for name, state in states.items():
        yield f"dtype {name}", pair(frame(several(block(array(several(number(1), number(2)), good, dtype(state=state))))))
    yield "objects in bytes", pair(frame(several(block(array(several(number(1), number(2)), good, dtype("O8"))))))
    yield "numbers in a list", pair(frame(several(block(array(several(number(1), number(2)), listed(b"N", b"N"))))))
    yield (
        "an array without state",
        pair(
            frame(several(block(call("numpy._core.multiarray._reconstruct", named("numpy.ndarray"), several(number(10**10)), raw(b"b")))))
        ),
    )
    scalar = "numpy._core.multiarray.scalar"
    yield "a number of 3 bytes", pair(alphas=listed(call(scalar, dtype(), raw(b"abc"))))
    yield "a number of type object", pair(alphas=listed(call(scalar, dtype("O8"), raw(b"abcdefgh"))))
    yield "a number of no type", pair(alphas=listed(call(scalar, b"N", raw(b"abcdefgh"))))
    numbers = "numpy._core.numeric._frombuffer"
    for order in ("K", "A", "Z", "C" * 1000):
        yield (
            f"a buffer in order {order[:3]}",
            pair(frame(several(block(call(numbers, good, dtype(), several(number(1), number(2)), text(order)))))),
        )
    yield "a buffer of another size", pair(frame(several(block(call(numbers, good, dtype(), several(number(5), number(5)), text("C"))))))


def tables() -> Iterator[tuple[str, bytes]]:
    "Blocks and names that do not fit, and functions that are given what they should not be."
    first = block(ONE + b"q\x00", span(0, 1, 1))
    yield (
        "one array as 3,000 columns",
        pair(frame(several(first, *(block(b"h\x00", span(i, i + 1, 1)) for i in range(1, 3000))), counted(0, 3000))),
    )
    yield "3,000 blocks of nothing", pair(frame(several(*[block(array(several(number(0), number(2)), raw(b"")), span(0, 0, 1))] * 3000)))
    for ends in ((0, 2, 1), (5, 9, 1), (0, 10**12, 1), (0, 1, 0), (1, 0, -1), (-1, 5, 1), (2**62, 2**63 - 1, 1)):
        yield f"a block at {ends}", pair(frame(several(block(ONE, span(*ends)))))
    yield (
        "a block at a place that is not there",
        pair(frame(several(block(ONE, array(several(number(1)), raw(np.array([7]).tobytes()), dtype("i8")))))),
    )
    yield "the same column twice", pair(frame(several(block(ONE), block(ONE)), columns(text("a"), text("b"))))
    yield "no block", pair(frame(b")"))
    yield (
        "three axes",
        pair(
            named("pandas.DataFrame")
            + b")\x81"
            + entries(
                _mgr=call(
                    "pandas.core.internals.managers.BlockManager",
                    several(block(ONE)),
                    listed(columns(text("a")), counted(0, 2), counted(0, 2)),
                )
            )
            + b"b"
        ),
    )
    yield "a name that is no text", pair(frame(names=columns(b"N")))
    yield "a name with half a letter", pair(frame(names=columns(b"X\x03\x00\x00\x00\xed\xa0\x80")))
    for about in (dict(length=-1), dict(length=10**9), dict(length=2**62), dict(offset=-1), dict(offset=2**62), dict(nulls=-1), dict(nulls=1), dict(places=(0, 10**9)), dict(places=(0, -3)), dict(places=(3, 0)), dict(places=()), dict(kind="binary"), dict(kind="list<int8>"), dict(buffers=b"]"), dict(buffers=b"N"), dict(letters=b"\xff\xfe\xfd")):  # fmt: skip
        yield f"Arrow names with {about}", pair(frame(names=arrow(**about)))
    for where, given in {
        "builtins.bytearray": (number(10**12),),
        "builtins.slice": (laughs(),),
        "_codecs.encode": (text("x" * 200_000), text("idna")),
        "pyarrow.lib.py_buffer": (number(10**12),),
        "pyarrow.lib.type_for_alias": (text("list<" * 10_000),),
        "pandas.DataFrame": (number(10**9),),
        "pandas.RangeIndex": (number(10**12),),
        "pandas.Index": (b"N",),
        "pandas.StringDtype": (laughs(),),
        "numpy.ndarray": (several(number(10**9)),),
        "pandas.core.internals.blocks.new_block": (number(1), number(1), number(1)),
        "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked": (named("pandas.DataFrame"), number(82904607), b"N"),
        "pandas.core.indexes.base._new_Index": (named("numpy.dtype"), b"}"),
    }.items():
        yield f"{where} as a table", pair(call(where, *given))
        yield f"{where} as penalties", pair(alphas=call(where, *given))
        yield f"{where} twice the state", pair(alphas=call(where, *given, state=b"}") + b"}b")
    for where in ("pandas.DataFrame", "pandas.Index", "numpy.ndarray", "numpy.dtype", "pandas.core.internals.managers.BlockManager"):
        change = entries(to_numpy=named("builtins.bytearray"), marked_by_a_pickle=b"\x88")
        yield f"attributes of {where} itself", pair(alphas=named(where) + several(b"N", change) + b"b")
        yield f"entries of {where} itself", pair(alphas=named(where) + change + b"b")


def pickle_bombs() -> Iterator[tuple[str, bytes]]:
    "Every written pickle, with its name."
    for make in (places_and_lengths, depths, arrays, tables):
        yield from make()


def honest_pickles() -> dict[str, bytes]:
    "Pickles of a small table, as different versions and protocols write them."
    names, found = ["P:A", "P:B", "naïve γ"], {}
    values = np.random.RandomState(0).normal(size=(7, 3))
    text = {storage: pd.StringDtype(storage, na_value=np.nan) for storage in ("python", "pyarrow")}
    for called, kind in (text | {"object": object}).items():
        table = pd.DataFrame(values, columns=pd.Index(names, dtype=kind))
        for protocol in (2, 4, 5):
            found[f"{called} {protocol}"] = pickle.dumps((table, [float(v) for v in values[:, 0]]), protocol=protocol)
            found[f"{called} {protocol} numpy"] = pickle.dumps((table.assign(n=1), list(values[:, 0])), protocol=protocol)
    return found


def mutated_pickles(n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    "Honest pickles with some bytes changed, taken out, doubled or exchanged."
    rng, honest = np.random.default_rng(seed), list(honest_pickles().items())
    for i in range(n):
        name, content = honest[rng.integers(len(honest))]
        content = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            at, to = sorted(rng.integers(0, len(content), 2))
            kind = rng.integers(5)
            if kind == 0:
                content[at] = rng.integers(256)
            elif kind == 1:
                content[at] ^= 1 << int(rng.integers(8))
            elif kind == 2:
                del content[at : min(to, at + 9)]
            elif kind == 3:
                content[at:at] = content[at : min(to, at + 30)]
            else:
                content[at : at + 4] = struct.pack("<I", int(rng.choice([2**31 - 1, 1_500_000_000, 2**32 - 1, 0])))
        yield f"{name}, mutation {i}", bytes(content)

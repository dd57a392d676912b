# SPDX-License-Identifier: MIT
"""The other side of numpy.c: NumPy reads what the library wrote, or writes what the library reads.

    numpy_peer.py read DIR      checks the files that DIR/list names, one a line
    numpy_peer.py write DIR     writes files, and DIR/list

A line of list, when we read:

    array NAME DTYPE C|F SHAPE  NAME.npy is that, with the elements of NAME.bin (C order)
    view BASE NAME EXPRESSION   NAME.npy is the array of BASE.npy with the expression behind it
    copies BASE EXPRESSION      NumPy needs a copy for the last step of the expression

and when we write: NAME DTYPE C|F SHAPE, or NAME unsupported.
"""
import os
import sys

import numpy as np
from numpy.lib import format as npy


def shape_of(words):
    return tuple(int(n) for n in words.split(",")) if words != "-" else ()


def read_array(name, dtype, order, shape):
    a = np.load(name + ".npy")
    assert a.dtype == np.dtype(dtype), (a.dtype, dtype)
    assert a.shape == shape_of(shape), (a.shape, shape)
    if a.ndim > 1 and a.size > 1:
        assert a.flags["F_CONTIGUOUS" if order == "F" else "C_CONTIGUOUS"], order
    with open(name + ".bin", "rb") as f:
        assert a.tobytes("C") == f.read()


def read_view(base, name, *expression):
    want = eval("a" + " ".join(expression), {"a": np.load(base + ".npy"), "np": np})
    got = np.load(name + ".npy")
    assert got.dtype == want.dtype
    assert got.shape == want.shape, (got.shape, want.shape)
    assert np.array_equal(got, want)


def read_copies(base, *expression):
    steps = "".join(expression).rsplit(".reshape", 1)
    before = eval("a" + steps[0], {"a": np.load(base + ".npy")})
    after = eval("b.reshape" + steps[1], {"b": before})
    assert not np.shares_memory(before, after)


def read():
    what = {"array": read_array, "view": read_view, "copies": read_copies}
    with open("list") as f:
        lines = [line.split() for line in f]
    for words in lines:
        try:
            what[words[0]](*words[1:])
        except Exception:
            print("in:", " ".join(words), file=sys.stderr)
            raise
    print(len(lines), "read")


DTYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
SHAPES = ((), (1,), (7,), (3, 4), (2, 1, 5), (4, 0, 2), (2, 2, 2, 2, 2, 2, 2, 2))
OTHERS = (
    np.zeros(3, "U5"),
    np.zeros(3, "S3"),
    np.zeros(3, "M8[s]"),
    np.zeros(3, "m8[ns]"),
    np.zeros(3, "V4"),
    np.zeros(3, "g"),
    np.zeros(3, [("a", "<i4"), ("b", "<f8")]),
    np.zeros((1,) * 9),
)


def write():
    rng = np.random.default_rng(12345)
    with open("list", "w") as f:
        n = 0
        for dtype in DTYPES:
            for byteorder in "<>":
                for shape in SHAPES:
                    for order in "CF":
                        d = np.dtype(dtype).newbyteorder(byteorder)
                        a = np.empty(shape, d, order)
                        a[...] = (rng.integers(-(1 << 20), 1 << 20, shape) % 120).astype(d)
                        with open("%d.npy" % n, "wb") as out:
                            npy.write_array(out, a, version=(n % 3 + 1, 0))
                        a.astype(d.newbyteorder("<")).tofile("%d.bin" % n)
                        fortran = a.flags["F_CONTIGUOUS"] and not a.flags["C_CONTIGUOUS"]
                        print(n, np.dtype(dtype).name, "F" if fortran else "C",
                              ",".join(map(str, shape)) or "-", file=f)
                        n += 1
        for a in OTHERS:
            np.save("%d.npy" % n, a)
            print(n, "unsupported", file=f)
            n += 1


os.chdir(sys.argv[2])
{"read": read, "write": write}[sys.argv[1]]()

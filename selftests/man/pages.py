#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
r"""
What the manual pages say, against the headers.

    pages.py check FOLDER           a file for each check_*() below: what is wrong, a line each
    pages.py prototypes FOLDER      a C file a page: its SYNOPSIS declared again, for the compiler
    pages.py programs FOLDER        the programs in pages and README.md: NAME.c, NAME.run to be run

Pages are taken from $KIPC_PAGES (else $SRCDIR/Documentation/man), the rest from $SRCDIR.

A literal block of a page is a definition, which must be the header's but for comments; or a
program, which begins with #include; or no C.  A line  .\" example: compile only  before a program
says that it isn't to be run.
"""
import os
import re
import sys
from pathlib import Path

SRC = Path(os.environ["SRCDIR"])
MAN = Path(os.environ.get("KIPC_PAGES", SRC / "Documentation/man"))
INCLUDE = SRC / "lib/include"


def tokens(text):
    """Without comments, and without a care for white space."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    return re.findall(r"\w+|[^\w\s]", text)


# ---- headers ----

class Function:
    def __init__(self, prototype, errors, inline):
        self.prototype = prototype              # tokens, without KIPC_API, inline and ';'
        self.errors = errors                    # that its comment names
        self.inline = inline


class Header:
    """A public header: kipc/NAME."""

    def __init__(self, path):
        self.name = f"kipc/{path.name}"
        text = path.read_text()
        comments = list(re.finditer(r"^/\*.*?\*/", text, flags=re.S | re.M))
        self.errors = errnos(text)
        # the second is the file's, behind the SPDX line
        self.common = errnos(comments[1].group())
        self.functions = {}
        for m in re.finditer(r"^(KIPC_API|static inline)\s+([^;{]*?\w+\([^;{]*\))\s*[;{]", text,
                             flags=re.M):
            prototype = tokens(m[2])
            before = [c for c in comments if c.end() <= m.start()]
            self.functions[called(prototype)] = Function(prototype, errnos(before[-1].group()),
                                                         m[1] != "KIPC_API")
        code = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        self.types = {}                         # "struct kipc_msg": tokens of its definition
        for m in re.finditer(r"^((?:struct|enum) kipc_\w+)\s*(\{(?:[^{}]|\{[^{}]*\})*\})?;", code,
                             flags=re.M):
            self.types.setdefault(m[1], None)
            if m[2]:
                self.types[m[1]] = tokens(m[0])
        self.constants = set(re.findall(r"^#define (KIPC_\w+)", code, flags=re.M))
        self.constants -= {"KIPC_API", f"KIPC_{path.stem.upper()}_H"}
        for name, definition in self.types.items():
            if definition and name.startswith("enum"):
                self.constants |= {t for t in definition if t.startswith("KIPC_")}


def errnos(text):
    return set(re.findall(r"-(E[A-Z0-9]+)\b", text))


def called(prototype):
    """Of a prototype's tokens: the name of the function."""
    return prototype[prototype.index("(") - 1]


# ---- pages ----

def macro_args(line):
    """Arguments of an mdoc macro line, quotes taken off."""
    return [a[1:-1].replace('""', '"') if a.startswith('"') else a
            for a in re.findall(r'"(?:[^"]|"")*"|\S+', line)]


class Page:
    def __init__(self, path):
        self.path = path
        self.name, self.section = path.name.rsplit(".", 1)
        self.text = path.read_text()
        self.names = []                         # .Nm of NAME
        self.includes = []
        self.prototypes = {}                    # name: tokens
        self.refs = []                          # .Xr: (name, section)
        self.titles = []
        self.links = []                         # .Sx
        self.errors = set()                     # .Er of ERRORS
        self.blocks = []                        # (line, text, whether to be run)
        self.problems = []
        self.result = self.function = None      # .Ft and .Fo that the next lines belong to
        self.parse()

    def wrong(self, number, what):
        self.problems.append(f"{self.path.name}:{number}: {what}")

    def parse(self):
        section, previous, block, run = "", "", None, True
        for number, line in enumerate(self.text.splitlines(), 1):
            if block is not None:
                if line == ".Ed":
                    self.blocks.append((block, "\n".join(text) + "\n", run))
                    block = None
                else:
                    text.append(self.unescape(number, line))
                continue
            macro, _, rest = line.partition(" ")
            args = macro_args(rest) if line.startswith(".") else []
            if macro in (".Sh", ".Ss"):
                if any(re.fullmatch("[A-Z][a-z]", a) for a in args):
                    self.wrong(number, "a word that groff takes for a macro: put \\& before it")
                self.titles.append(" ".join(args).replace(r"\&", ""))
                if macro == ".Sh":
                    section = self.titles[-1]
            elif macro == ".Sx":
                self.links.append((number, " ".join(a for a in args if a not in ".,;:")))
            elif macro == ".Bd" and "-literal" in args:
                block, text = number, []
                run = previous != r'.\" example: compile only'
            elif section == "NAME" and macro == ".Nm":
                self.names.append(args[0])
            elif section == "SYNOPSIS":
                self.synopsis(number, macro, args)
            if section == "ERRORS":
                self.errors |= set(re.findall(r"\bEr (E[A-Z0-9]+)", line))
            for m in re.finditer(r"\bXr (\S+) (\d)", line):
                self.refs.append((number, m[1], m[2]))
            previous = line
        if block is not None:
            self.wrong(block, "a display without an end")

    def synopsis(self, number, macro, args):
        if macro == ".In":
            self.includes.append(args[0])
        elif macro == ".Ft":
            self.result = " ".join(args)
        elif macro == ".Fn":
            self.declare(number, args)
        elif macro == ".Fo":
            self.function = args
        elif macro == ".Fa":
            self.function += args
        elif macro == ".Fc":
            self.declare(number, self.function)

    def declare(self, number, function):
        name, *args = function
        if not self.result:
            self.wrong(number, f"{name}: no .Ft before it")
        elif name in self.prototypes:
            self.wrong(number, f"{name}: twice")
        else:
            self.prototypes[name] = tokens(f"{self.result} {name}({', '.join(args)})")
        self.result = None

    def unescape(self, number, line):
        if re.search(r"\\[^e&]", line):
            self.wrong(number, "an escape in a literal block that isn't \\e or \\&")
        return line.replace(r"\e", "\\").replace(r"\&", "")

    def programs(self):
        blocks = [b for b in self.blocks if b[1].startswith("#include")]
        for n, (_, text, run) in enumerate(blocks, 1):
            yield f"{self.path.name}-{n}", text, run


def readme_programs():
    text = (SRC / "README.md").read_text()
    for n, m in enumerate(re.finditer(r"^```c\n(.*?)^```$", text, flags=re.S | re.M), 1):
        yield f"README.md-{n}", m[1], True


HEADERS = [Header(p) for p in sorted((INCLUDE / "kipc").glob("*.h"))]
FUNCTIONS = {name: f for h in HEADERS for name, f in h.functions.items()}
TYPES = {}
for header in HEADERS:
    for name, definition in header.types.items():
        if definition or name not in TYPES:
            TYPES[name] = definition
CONSTANTS = {c for h in HEADERS for c in h.constants}
PAGES = [Page(p) for s in "1378" for p in sorted(MAN.glob(f"*.{s}"))]
NAMES = {(n, p.section) for p in PAGES for n in p.names + [p.name]}


# ---- checks: each yields what is wrong ----

def exported():
    text = (SRC / "lib/libkipc.map").read_text()
    return re.findall(r"^\s*(kipc_\w+);", text, flags=re.M)


def check_symbols():
    """Every exported symbol is declared and has a page, every page's function exists."""
    symbols = exported()
    if not symbols:
        yield "lib/libkipc.map: no symbols found"
    for name in symbols:
        if name not in FUNCTIONS:
            yield f"{name}: exported, but declared in no public header"
    for name in sorted(set(FUNCTIONS) | set(symbols)):
        pages = [p.path.name for p in PAGES if name in p.prototypes]
        if len(pages) != 1:
            yield f"{name}: is in the SYNOPSIS of {', '.join(pages) or 'no page'}"
    for p in PAGES:
        for name in p.prototypes:
            if name not in FUNCTIONS:
                yield f"{p.path.name}: {name}: there is no such function"


def check_prototypes():
    """They are the headers', to the names of the arguments."""
    for p in PAGES:
        for name, prototype in p.prototypes.items():
            f = FUNCTIONS.get(name)
            if f and f.prototype != prototype:
                yield (f"{p.path.name}: {' '.join(prototype)}\n"
                       f"    in the header: {' '.join(f.prototype)}")


def check_names():
    """NAME has the page's own name, and in section 3 the functions of SYNOPSIS and no others."""
    for p in PAGES:
        if p.name not in p.names:
            yield f"{p.path.name}: NAME lacks {p.name}"
        differ = set(p.names) ^ (set(p.prototypes) | {p.name})
        if p.section == "3" and differ:
            yield f"{p.path.name}: not in both of NAME and SYNOPSIS: {' '.join(sorted(differ))}"


def check_definitions():
    """Structs and enums that are printed are the headers'."""
    seen = 0
    for p in PAGES:
        for line, text, _ in p.blocks:
            m = re.match(r"(?:struct|enum) kipc_\w+(?= \{)", text)
            if m:
                seen += 1
                if TYPES.get(m[0]) != tokens(text):
                    yield f"{p.path.name}:{line}: {m[0]} is not the header's"
    if not seen:
        yield "no definition found in any page"


def check_complete():
    """Every public struct that has members is printed; every constant is explained somewhere."""
    printed = {m[0] for p in PAGES for _, text, _ in p.blocks
               for m in [re.match(r"struct kipc_\w+", text)] if m}
    for name, definition in TYPES.items():
        if definition and name.startswith("struct") and name not in printed:
            yield f"{name}: printed in no page"
    words = {w for p in PAGES for w in re.findall(r"\bKIPC_\w+", p.text)}
    for name in sorted(CONSTANTS - words):
        yield f"{name}: in no page"


def check_exist():
    """What is called kipc_something or KIPC_SOMETHING exists, in README.md as well."""
    known = set(FUNCTIONS) | {t.split()[1] for t in TYPES} | {n for n, _ in NAMES}
    sources = [f for d in ("lib", "tools", "uapi") for f in (SRC / d).rglob("*.[ch]")]
    environment = {n for f in sources for n in re.findall(r'"(KIPC_\w+)"', f.read_text())}
    texts = [(p.path.name, p.text) for p in PAGES]
    texts.append(("README.md", (SRC / "README.md").read_text()))
    for file, text in texts:
        text = re.sub(r"^\.Dt .*", "", text, flags=re.M)
        for name in sorted(set(re.findall(r"\bkipc_\w+", text)) - known):
            yield f"{file}: {name}: there is no such thing"
        for name in sorted(set(re.findall(r"\bKIPC_\w+", text)) - CONSTANTS - environment):
            yield f"{file}: {name}: there is no such constant, nor environment variable"


def check_errors():
    """Every errno in a function's comment is in ERRORS of its page, and none that no header has."""
    convention = next(h for h in HEADERS if h.name == "kipc/base.h")
    for p in PAGES:
        if not p.prototypes:
            continue
        allowed = set(convention.common)
        for h in HEADERS:
            mine = [n for n in h.functions if n in p.prototypes]
            if not mine:
                continue
            allowed |= h.errors
            if h is not convention and h.common - p.errors:
                yield f"{p.path.name}: ERRORS lacks {' '.join(sorted(h.common - p.errors))}, " \
                      f"see the head of {h.name}"
            for n in mine:
                lacks = h.functions[n].errors - p.errors
                if lacks:
                    yield f"{p.path.name}: ERRORS lacks {' '.join(sorted(lacks))} of {n}()"
        for name in sorted(p.errors - allowed):
            yield f"{p.path.name}: ERRORS has {name}, which no header says of its functions"


def check_references():
    """Pages of ours that are referred to exist, and so do sections."""
    for p in PAGES:
        for line, name, section in p.refs:
            if re.match(r"kipc|ipc-", name) and (name, section) not in NAMES:
                yield f"{p.path.name}:{line}: there is no {name}({section})"
        for line, title in p.links:
            if title not in p.titles:
                yield f"{p.path.name}:{line}: there is no section {title}"


def check_form():
    """What could not be made sense of."""
    if not PAGES or not HEADERS:
        yield "no pages, or no headers"
    for p in PAGES:
        yield from p.problems
        for line, text, _ in p.blocks:
            if re.search(r";$|\bmain\(", text, flags=re.M) and \
                    not re.match(r"#include|(?:struct|enum) \w+ \{", text):
                yield f"{p.path.name}:{line}: C that is neither a definition nor a program"


# ---- files for the compiler ----

def write_prototypes(folder):
    for p in PAGES:
        if not p.prototypes:
            continue
        lines = [f"#include <{i}>" for i in p.includes]
        for name, prototype in p.prototypes.items():
            inline = name in FUNCTIONS and FUNCTIONS[name].inline
            lines.append(("static inline " if inline else "extern ") + " ".join(prototype) + ";")
        (folder / f"{p.path.name}.c").write_text("\n".join(lines) + "\n")


def write_programs(folder):
    for programs in [p.programs() for p in PAGES] + [readme_programs()]:
        for name, text, run in programs:
            (folder / f"{name}.c").write_text(text)
            if run:
                (folder / f"{name}.run").touch()


def write_checks(folder):
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            wrong = "".join(f"{w}\n" for w in check())
            (folder / name.removeprefix("check_")).write_text(wrong)


if __name__ == "__main__":
    write = {"check": write_checks, "prototypes": write_prototypes, "programs": write_programs}
    write[sys.argv[1]](Path(sys.argv[2]))

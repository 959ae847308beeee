"""
How much a line, a name and a function of this repository may carry.

Each check takes a parsed file and yields what it finds; `style.py` sums the findings up.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final, TypeAlias

from tests.repository.findings import Finding, Kind, finding
from tests.repository.source_files import Comment, Function, SourceFile, functions

MAX_COLUMNS: Final = 100
MAX_BRANCHES: Final = 12
MAX_FUNCTION_LINES: Final = 60
MAX_MODULE_LINES: Final = 300

# Names of locals and parameters that say nothing about the value.
CONTENTLESS_NAMES: Final = frozenset(
    (
        *("asked", "each", "found", "given", "held", "kept", "known", "named", "own", "strange"),
        *("stuff", "thing", "things", "told", "wanted", "way", "what", "who", "whose", "word"),
    )
)

_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
# What is one branch each; operands and comprehensions are counted apart.
_BRANCHES: Final = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case),
)
# A line that holds a URL, and besides it only what marks it as a comment or a string.
_ONLY_A_URL: Final = re.compile(r"""[#\s"'(<\[]*https?://\S+\s*""")
_NOQA: Final = re.compile(r"#\s*(ruff:\s*)?noqa\b", re.IGNORECASE)
_TYPE_IGNORE: Final = re.compile(r"#\s*type:\s*ignore\b")
_DIRECTIVE: Final = re.compile(r"#\s*((ruff:\s*)?noqa|type:|fmt:|pragma:|mypy:)|#!", re.IGNORECASE)


def conditionals(file: SourceFile) -> Iterator[Finding]:
    """Every conditional expression, and once more every one that lies inside another."""
    nested: set[ast.IfExp] = set()
    for node in file.all(ast.IfExp):
        yield finding(Kind.CONDITIONAL, file, node.lineno)
        nested.update(_inner_conditionals(node))
    for node in nested:
        yield finding(Kind.NESTED_CONDITIONAL, file, node.lineno)


def _inner_conditionals(outer: ast.IfExp) -> Iterator[ast.IfExp]:
    for node in ast.walk(outer):
        if isinstance(node, ast.IfExp) and node is not outer:
            yield node


def comprehensions(file: SourceFile) -> Iterator[Finding]:
    """Comprehensions with more than one `if`, and those that assign in a filter."""
    for node in _all_comprehensions(file):
        filters = [condition for generator in node.generators for condition in generator.ifs]
        if len(filters) > 1:
            yield finding(Kind.COMPREHENSION_FILTERS, file, node.lineno)
        if any(_has_walrus(condition) for condition in filters):
            yield finding(Kind.FILTER_WALRUS, file, node.lineno)


def _all_comprehensions(file: SourceFile) -> Iterator[_Comprehension]:
    yield from file.all(ast.ListComp)
    yield from file.all(ast.SetComp)
    yield from file.all(ast.DictComp)
    yield from file.all(ast.GeneratorExp)


def _has_walrus(expression: ast.expr) -> bool:
    return any(isinstance(node, ast.NamedExpr) for node in ast.walk(expression))


def tuple_assignments(file: SourceFile) -> Iterator[Finding]:
    """`a, b = x, y`, unless two lines would mean something else: `a, b = b, a`."""
    for node in file.all(ast.Assign):
        if not isinstance(node.value, ast.Tuple | ast.List):
            continue
        for target in node.targets:
            if not isinstance(target, ast.Tuple | ast.List):
                continue
            if not _is_simultaneous(target, node.value):
                yield finding(Kind.TUPLE_ASSIGNMENT, file, node.lineno)


def _is_simultaneous(target: ast.Tuple | ast.List, value: ast.Tuple | ast.List) -> bool:
    """Whether a later value reads what an earlier part of the target sets."""
    is_set: set[str] = set()
    for part, item in zip(target.elts, value.elts, strict=False):
        if is_set & {ast.unparse(node) for node in ast.walk(item) if isinstance(node, ast.expr)}:
            return True
        is_set.add(ast.unparse(part))
    return False


def long_lines(file: SourceFile) -> Iterator[Finding]:
    """Lines above 100 columns, whatever they hold; a URL may be longer if it is alone."""
    for number, line in enumerate(file.lines, start=1):
        if len(line) > MAX_COLUMNS and not _ONLY_A_URL.fullmatch(line):
            yield finding(Kind.LONG_LINE, file, number, text=f"{len(line)} columns")


def assigned_names(file: SourceFile) -> Iterator[tuple[str, int]]:
    """
    Every name that is bound, with its line.

    Targets of assignments, loops, comprehensions, `with` and `:=`, parameters, `except … as` and
    captures of `match`. Keys of a `TypedDict` are left out: they are spelt as a vendor spells them.
    """
    vendor_keys = typed_dict_keys(file)
    for name in file.all(ast.Name):
        if isinstance(name.ctx, ast.Store) and name not in vendor_keys:
            yield name.id, name.lineno
    for parameter in file.all(ast.arg):
        yield parameter.arg, parameter.lineno
    yield from _captured_names(file)


def _captured_names(file: SourceFile) -> Iterator[tuple[str, int]]:
    for handler in file.all(ast.ExceptHandler):
        if handler.name is not None:
            yield handler.name, handler.lineno
    for capture in file.all(ast.MatchAs):
        if capture.name is not None:
            yield capture.name, capture.lineno


def typed_dict_keys(file: SourceFile) -> set[ast.expr]:
    """The nodes that name a key of a `TypedDict`."""
    keys: set[ast.expr] = set()
    for node in file.all(ast.ClassDef):
        if any(map(_is_typed_dict, node.bases)):
            keys.update(field.target for field in node.body if isinstance(field, ast.AnnAssign))
    return keys


def _is_typed_dict(base: ast.expr) -> bool:
    return ast.unparse(base).endswith("TypedDict")


def contentless_names(file: SourceFile) -> Iterator[Finding]:
    """Locals and parameters whose name says nothing about the value."""
    for name, line in assigned_names(file):
        if name.strip("_") in CONTENTLESS_NAMES:
            yield finding(Kind.CONTENTLESS_NAME, file, line, text=name)


def branches(file: SourceFile) -> Iterator[Finding]:
    """Functions with more than 12 branches."""
    for function, count in count_branches(file).items():
        if count > MAX_BRANCHES:
            text = f"{function.name} has {count}"
            yield finding(Kind.BRANCHES, file, function.lineno, text=text)


def count_branches(file: SourceFile) -> Counter[Function]:
    """
    The branches of each function as a reader counts them.

    `if` and `elif`, `for`, `while`, each `except`, each conditional expression, each operand of
    `and` and `or` beyond the first, each `for` and each `if` of a comprehension, each `case`. A
    function inside a function counts for itself.
    """
    counts: Counter[Function] = Counter()
    for node, count in _branching_nodes(file):
        if node in file.owners:
            counts[file.owners[node]] += count
    return counts


def _branching_nodes(file: SourceFile) -> Iterator[tuple[ast.AST, int]]:
    for node in chain.from_iterable(file.all(node_type) for node_type in _BRANCHES):
        yield node, 1
    for operation in file.all(ast.BoolOp):
        yield operation, len(operation.values) - 1
    for generator in file.all(ast.comprehension):
        yield generator, 1 + len(generator.ifs)


def lengths(file: SourceFile) -> Iterator[Finding]:
    """Functions above 60 lines; modules above 300, but for tests, which may be longer."""
    for function in functions(file):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > MAX_FUNCTION_LINES:
            text = f"{function.name} has {length} lines"
            yield finding(Kind.LONG_FUNCTION, file, function.lineno, text=text)
    if len(file.lines) > MAX_MODULE_LINES and not file.is_test:
        yield finding(Kind.LONG_MODULE, file, 1, text=f"{len(file.lines)} lines")


def suppressions(file: SourceFile) -> Iterator[Finding]:
    """Comments that silence ruff or mypy."""
    for comment in file.comments:
        if _NOQA.search(comment.text):
            yield finding(Kind.NOQA, file, comment.line, text=comment.text)
        if _TYPE_IGNORE.search(comment.text):
            yield finding(Kind.TYPE_IGNORE, file, comment.line, text=comment.text)


def comment_lines(file: SourceFile) -> int:
    """How many lines hold a comment for readers, beside code or alone."""
    return sum(map(_is_for_readers, file.comments))


def code_lines(file: SourceFile) -> int:
    """How many lines hold code: no blank ones, no docstrings, no comments alone."""
    filled = sum(1 for line in file.lines if line.strip() and not line.lstrip().startswith("#"))
    return filled - sum(_filled_lines(file, node) for node in file.all(ast.Expr))


def _filled_lines(file: SourceFile, statement: ast.Expr) -> int:
    """The lines of a docstring that are not blank; 0 for any other statement."""
    if not isinstance(statement.value, ast.Constant) or not isinstance(statement.value.value, str):
        return 0
    lines = file.lines[statement.lineno - 1 : statement.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _is_for_readers(comment: Comment) -> bool:
    return _DIRECTIVE.match(comment.text) is None

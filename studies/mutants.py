"""Mutants of a source file: one small change each, by mutmut's operators, without changes that cannot matter.

Left alone are docstrings, type annotations and type aliases, imports, decorators, `__all__`, assertions, raised errors
and every other text of several words, logging and warnings, and the keywords `strict` and `encoding`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

_TEXT = re.compile(r"\S\s+\S")
_ALIAS = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")
_IDLE_KEYWORDS = {"strict", "encoding", "stacklevel"}
_TYPES = m.Name(value=m.MatchIfTrue(lambda name: name in {"Annotated", "Bool", "ClassVar", "Float", "Int", "Literal"}))
_IDLE = (
    m.Annotation()
    | m.Assert()
    | m.Decorator()
    | m.Import()
    | m.ImportFrom()
    | m.Raise()
    | m.Expr(value=m.SimpleString() | m.ConcatenatedString())
    | m.If(test=m.Name("TYPE_CHECKING"))
    | m.Subscript(value=_TYPES)
    | m.Call(func=m.Name("TypeVar") | m.Name("cast") | m.Attribute(value=m.Name("logging") | m.Name("warnings")))
    | m.Call(func=m.Attribute(value=m.Name("_log") | m.Name("log")))
)
"""Nodes that are left alone with all that is in them."""


@dataclass(frozen=True)
class Mutant:
    """A source file with one change."""

    path: Path
    """The file."""
    number: int
    """Its place among the mutants of the file."""
    lines: tuple[int, int]
    """First and last line of the statement with the change, from 1; of `if` or `def`, without what is in it."""
    line: int
    """Line of the change."""
    column: int
    """Its column, from 1."""
    change: str
    """What was there and what is there now."""
    old: cst.CSTNode
    """Node of `module` that is replaced."""
    new: cst.CSTNode
    """What replaces it."""
    module: cst.Module
    """The whole file, unchanged."""

    def source(self) -> str:
        """Return the changed file's text."""
        changed = self.module.deep_replace(self.old, self.new)
        assert isinstance(changed, cst.Module)
        return changed.code


def mutants_of(path: Path) -> list[Mutant]:
    """Return all mutants of a file, in the order of its lines; none of a file that holds only imports."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text(encoding="utf-8")))
    visitor = _Visitor(wrapper.module)
    wrapper.visit(visitor)
    return [Mutant(path, number, *change, wrapper.module) for number, change in enumerate(visitor.changes)]


def file_hash(path: Path) -> str:
    """Return the first 16 digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        self.module = module
        self.changes: list[tuple[tuple[int, int], int, int, str, cst.CSTNode, cst.CSTNode]] = []
        self._statements: list[tuple[int, int]] = [(1, 1)]

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            self._statements.pop()

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            self._statements.append(self._span(node))
        if m.matches(node, _IDLE) or self._is_text(node) or self._names_a_type(node):
            return False
        if isinstance(node, cst.Arg) and _is_idle(node):
            return False
        if isinstance(node, cst.Assign | cst.AnnAssign) and (node.value is None or self._is_text(node.value)):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for new in operator(node):
                    if not self._drops_only_text(node, new):
                        place = self.get_metadata(PositionProvider, node).start
                        change = self._change(node, new)
                        self.changes.append((self._statements[-1], place.line, place.column + 1, change, node, new))
        return True

    def _span(self, statement: cst.SimpleStatementLine | cst.BaseCompoundStatement) -> tuple[int, int]:
        place = self.get_metadata(PositionProvider, statement)
        if isinstance(statement, cst.SimpleStatementLine | cst.Match):
            return place.start.line, place.end.line
        body = self.get_metadata(PositionProvider, statement.body)
        return place.start.line, max(place.start.line, body.start.line - 1)

    def _is_text(self, node: cst.CSTNode) -> bool:
        """Whether a node is a string of several words."""
        if isinstance(node, cst.ConcatenatedString):
            return self._is_text(node.left) or self._is_text(node.right)
        if isinstance(node, cst.FormattedString):
            text = "".join(part.value if isinstance(part, cst.FormattedStringText) else "{}" for part in node.parts)
            return _TEXT.search(text) is not None
        return isinstance(node, cst.SimpleString) and _TEXT.search(node.value) is not None

    def _names_a_type(self, node: cst.CSTNode) -> bool:
        """Whether a node assigns a type alias, or `__all__`."""
        if not isinstance(node, cst.Assign) or not isinstance(node.targets[0].target, cst.Name):
            return False
        name = node.targets[0].target.value
        makes_type = m.matches(node.value, m.Call(func=m.Name("TypeVar")) | m.Subscript(value=_TYPES))
        return name == "__all__" or _ALIAS.fullmatch(name) is not None or makes_type

    def _drops_only_text(self, old: cst.CSTNode, new: cst.CSTNode) -> bool:
        """Whether a call has lost an argument that is text or an idle keyword."""
        if not isinstance(old, cst.Call) or not isinstance(new, cst.Call):
            return False
        kept = {id(argument) for argument in new.args}
        lost = [argument for argument in old.args if id(argument) not in kept]
        return any(_is_idle(argument) or self._is_text(argument.value) for argument in lost)

    def _change(self, old: cst.CSTNode, new: cst.CSTNode) -> str:
        """Return both versions of a node, cut to the part in which they differ."""
        before, after = (" ".join(self.module.code_for_node(node).split()) for node in (old, new))
        start = 0
        while start < min(len(before), len(after)) and before[start] == after[start]:
            start += 1
        end = 0
        while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
            end += 1
        first, last = max(0, start - 24), max(0, end - 16)
        return " -> ".join(f"`{text[first : len(text) - last]}`" for text in (before, after))


def _is_idle(argument: cst.Arg) -> bool:
    return argument.keyword is not None and argument.keyword.value in _IDLE_KEYWORDS

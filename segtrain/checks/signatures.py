"""Reads what a function or class takes from its source, without importing it.

A builder's module imports TensorFlow, which takes seconds; a mistake in a config should be answered before that.
"""

import ast
import functools
import importlib.util
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import annotated_types

# What annotations of builders are made of. Any other name in an annotation stands for "anything".
_TYPE_NAMES = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "Any": typing.Any,
    "Literal": typing.Literal,
    "Annotated": typing.Annotated,
    "Callable": Callable,
    "Mapping": Mapping,
    "Sequence": Sequence,
    **{name: getattr(annotated_types, name) for name in ("Ge", "Gt", "Le", "Lt", "Len", "MinLen", "MaxLen")},
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a builder.

    Attributes:
        type: the annotation; where there is none, the kind of the default; `typing.Any` where that says nothing.
        has_default: whether it may be left out.
        description: what the docstring's Args section says of it, on one line; may be empty.
    """

    type: typing.Any
    has_default: bool
    description: str


@dataclass(frozen=True)
class Signature:
    """What a target takes.

    Attributes:
        parameters: by name, in order.
        takes_any: whether it has `**kwargs` beside them.
    """

    parameters: Mapping[str, Parameter]
    takes_any: bool


@functools.lru_cache
def read_signature(target: str) -> Signature | None:
    """Returns the signature of a dotted name, or None where the source does not tell it.

    Raises:
        ValueError: there is no such module, or no such name in it.
    """
    module_name, _, name = target.rpartition(".")
    if not module_name:
        raise ValueError(f"'{target}' is no dotted name. Name the module too: package.module.{target}.")
    path = _module_file(module_name)
    if path is None:
        owner_module, _, owner = module_name.rpartition(".")
        owner_path = _module_file(owner_module) if owner_module else None
        if owner_path is not None and _binds(owner_path, owner):
            return None  # a method of a class: nothing here calls one, but it exists
        raise ValueError(f"There is no module '{module_name}'.")
    definition = _find_definition(path, name)
    if definition is not None:
        return _signature_of(definition)
    if _binds(path, name):
        return None
    raise ValueError(f"The module '{module_name}' has no '{name}'.")


def is_defined_in_its_module(target: str) -> bool:
    """Says whether a dotted name is a class or function whose source stands in that module: not one it has imported."""
    module_name, _, name = target.rpartition(".")
    path = _module_file(module_name) if module_name else None
    definition = _find_definition(path, name, depth=0) if path else None
    return definition is not None


@dataclass(frozen=True)
class _Definition:
    """A class's or function's syntax tree, and the file it stands in."""

    tree: ast.ClassDef | ast.FunctionDef
    path: Path


def _module_file(module_name: str) -> Path | None:
    """Finds a module's file without importing it or its packages (`find_spec` imports the parents of a dotted name)."""
    top, *rest = module_name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    for part in rest:
        package, module = path.parent / part / "__init__.py", path.parent / f"{part}.py"
        path = package if package.is_file() else module
        if not path.is_file():
            return None
    return path


def _binds(path: Path, name: str) -> bool:
    """Says whether a module has the name at all, however it came by it; a compiled module may have any."""
    if path.suffix != ".py":
        return True
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return name in bound


def _find_definition(path: Path, name: str, depth: int = 8) -> _Definition | None:
    """Returns class or function `name` as the module in `path` knows it, following imports and re-exports."""
    if path.suffix != ".py":
        return None
    source = path.read_text(encoding="utf-8")
    if re.search(rf"^(class|def)\s+{re.escape(name)}\b", source, re.MULTILINE):
        return _Definition(ast.parse(_top_level_block(source, name)).body[0], path)
    if depth == 0 or not re.search(rf"\b{re.escape(name)}\b|import \*", source):
        return None
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) not in (name, "*"):
                continue
            imported_from = _imported_file(path, node)
            wanted = name if alias.name == "*" else alias.name
            found = imported_from and _find_definition(imported_from, wanted, depth - 1)
            if found:
                return found
    return None


def _top_level_block(source: str, name: str) -> str:
    """Cuts one class or function out, so that a file of thousands of lines need not be parsed."""
    lines = source.splitlines()
    start = next(n for n, line in enumerate(lines) if re.match(rf"(class|def)\s+{re.escape(name)}\b", line))
    end = start + 1
    while end < len(lines) and (not lines[end] or lines[end][0] in " \t)#"):
        end += 1
    return "\n".join(lines[start:end])


def _imported_file(path: Path, node: ast.ImportFrom) -> Path | None:
    if node.level == 0:
        return _module_file(node.module)
    folder = path.parents[node.level - 1]
    target = folder.joinpath(*(node.module or "").split("."))
    package, module = target / "__init__.py", target.with_suffix(".py")
    return package if package.is_file() else module if module.is_file() else None


def _type_aliases(path: Path) -> dict[str, typing.Any]:
    """Returns the module's aliases `Name = Literal[...]` and the like, its own and those it imports from segtrain."""
    source, aliases = path.read_text(encoding="utf-8"), {}
    for line in re.findall(r"^\w+ = (?:Literal|Annotated|Callable)\[.*\]$", source, re.MULTILINE):
        assignment = ast.parse(line).body[0]
        aliases[assignment.targets[0].id] = _resolve(assignment.value, {})
    for statement in re.findall(r"^from segtrain\.[\w.]+ import (?:\([^)]*\)|.*)$", source, re.MULTILINE):
        node = ast.parse(statement).body[0]
        imported_from = _module_file(node.module)
        text = imported_from.read_text(encoding="utf-8") if imported_from and imported_from != path else ""
        for alias in node.names:
            name = r"\w+" if alias.name == "*" else re.escape(alias.name)
            for line in re.findall(rf"^{name} = (?:Literal|Annotated|Callable)\[.*\]$", text, re.MULTILINE):
                assignment = ast.parse(line).body[0]
                aliases[assignment.targets[0].id] = _resolve(assignment.value, {})
    return aliases


def _signature_of(definition: _Definition) -> Signature:
    tree, docstring = definition.tree, ast.get_docstring(definition.tree) or ""
    if isinstance(tree, ast.FunctionDef):
        return _signature(tree, docstring, _type_aliases(definition.path))
    for method in tree.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return _signature(method, docstring, _type_aliases(definition.path), skip_self=True)
    for base in tree.bases:
        inherited = _find_definition(definition.path, base.id) if isinstance(base, ast.Name) else None
        if inherited is not None and inherited.tree.name != tree.name:
            return _signature_of(inherited)
    return Signature({}, takes_any=bool(tree.bases))


def _signature(function: ast.FunctionDef, docstring: str, aliases: dict, skip_self: bool = False) -> Signature:
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    pairs = list(zip(positional, defaults, strict=True))[1 if skip_self else 0 :]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    descriptions = _argument_descriptions(docstring)
    return Signature(
        {
            argument.arg: Parameter(
                type=_type_of(argument, default, aliases),
                has_default=default is not None,
                description=descriptions.get(argument.arg, ""),
            )
            for argument, default in pairs
        },
        takes_any=arguments.kwarg is not None,
    )


def _type_of(argument: ast.arg, default: ast.expr | None, aliases: dict) -> typing.Any:
    if argument.annotation is not None:
        return _resolve(argument.annotation, aliases)
    if isinstance(default, ast.Constant):
        # Libraries without annotations still tell a switch and a name from a number by their defaults.
        return {bool: bool, int: float, float: float}.get(type(default.value), typing.Any)
    return typing.Any


def _resolve(node: ast.expr, aliases: dict) -> typing.Any:
    """Turns an annotation into a type. Interprets the few forms that builders use, and evaluates nothing."""
    match node:
        case ast.Constant(value=None):
            return types.NoneType
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return -value
        case ast.Name(id=name):
            return aliases.get(name, _TYPE_NAMES.get(name, typing.Any))
        case ast.Attribute(attr=name):
            return _TYPE_NAMES.get(name, typing.Any)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _resolve(left, aliases) | _resolve(right, aliases)
        case ast.Call(func=function, args=arguments):
            return _resolve(function, aliases)(*(_resolve(argument, aliases) for argument in arguments))
        case ast.Subscript(value=container, slice=ast.Tuple(elts=elements)):
            return _subscript(_resolve(container, aliases), tuple(_resolve(item, aliases) for item in elements))
        case ast.Subscript(value=container, slice=element):
            return _subscript(_resolve(container, aliases), _resolve(element, aliases))
    return typing.Any


def _subscript(container, elements):
    if container is typing.Literal:
        values = [None if element is types.NoneType else element for element in _as_tuple(elements)]
        # A Literal of another module's constants cannot be told from here, so it stands for anything.
        return typing.Any if typing.Any in values else typing.Literal[tuple(values)]
    # What something to call is called with, and what it returns, is not for a config to say.
    return container if container in (typing.Any, Callable) else container[elements]


def _as_tuple(elements):
    return elements if isinstance(elements, tuple) else (elements,)


def _argument_descriptions(docstring: str) -> dict[str, str]:
    """Reads the Args section of a Google-style docstring."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if not section:
        return {}
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section[1], re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in entries}

"""Files and functions stay small: beyond these sizes a second idea has crept in, and wants a place of its own."""

import ast
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
PACKAGES = ("plugins/gainful", "verl_ext", "llamaindex_ext", "vllm_ext")
SOURCES = {path: path.read_text() for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
METHOD_LINES, SHELL_LINES = 200, 250
BODY_LINES, MEDIAN_BODY_LINES = 35, 15


def bodies():
    """Lines of each function without signature and docstring, by name."""
    for path, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines


def test_a_method_with_its_docstring_fits_a_file_of_two_hundred_lines():
    methods = {path for path, text in SOURCES.items() if "\nREGISTRATION: Registration = " in text}
    assert len(methods) >= 15
    assert [path.name for path in methods if len(SOURCES[path].splitlines()) > METHOD_LINES] == []


def test_the_connector_is_a_shell():
    [connector] = (text for path, text in SOURCES.items() if path.name == "connector.py")
    assert len(connector.splitlines()) <= SHELL_LINES


def test_functions_are_short():
    found = dict(bodies())
    assert {name: lines for name, lines in found.items() if lines > BODY_LINES} == {}
    assert median(found.values()) <= MEDIAN_BODY_LINES

"""Write the generated parts of docs/ and CONTRIBUTING.md: options, names, versions, modules.

python .ci/docs.py          # rewrite
python .ci/docs.py --check  # fail if it would change something

A part stands between `<!-- NAME ARGUMENTS: written by .ci/docs.py -->` and `<!-- end -->`.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version
from rows import ALWAYS, ROTATION, ROWS, requirement_sets, target

from gainful.catalog import catalog
from gainful.config import Options
from gainful.hosts import HOSTS, check

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
PART = re.compile(r"(<!-- ([a-z_]+)((?: [\w.:-]+)*): written by \.ci/docs\.py -->\n).*?(<!-- end -->)", flags=re.DOTALL)
ADAPTERS = ("verl_ext/gainful_verl", "llamaindex_ext/gainful_llamaindex", "vllm_ext/gainful_vllm")
KINDS = {"judges": "matchers", "value_models": "value_models", "cost_models": "cost_models", "stores": "stores"}
"""Name of a part -> table of the catalogue."""


def main(arguments: list[str]) -> int:
    outdated = [page for page in PAGES if written(page.read_text()) != page.read_text()]
    if arguments == ["--check"]:
        for page in outdated:
            sys.stderr.write(f"{page.relative_to(ROOT)}: a generated part is out of date; run make docs\n")
        return bool(outdated)
    for page in outdated:
        page.write_text(written(page.read_text()))
    return 0


def written(text: str) -> str:
    return PART.sub(lambda part: f"{part[1]}{PARTS[part[2]](*part[3].split())}\n{part[4]}", text)


def table(heads: list[str], rows: Iterator[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def options(path: str) -> str:
    """All options of `module:Class`, those within options by their dotted names."""
    module, _, name = path.partition(":")
    if find_spec(module.partition(".")[0]) is None or find_spec(module) is None:
        return "This release does not have it yet."
    return table(["option", "values", "default", "meaning"], option_rows(getattr(import_module(module), name)))


def option_rows(cls: type[Options], prefix: str = "") -> Iterator[list[str]]:
    schema = cls.model_json_schema()
    for name, field in cls.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Options):
            yield from option_rows(inner, f"{prefix}{name}.")
            continue
        values = kind(schema["properties"][name], schema.get("$defs", {}))
        default = "required" if field.is_required() else code(field.get_default(call_default_factory=True))
        yield [f"`{prefix}{name}`", values, default, " ".join((field.description or "").split())]


def code(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else "none" if value is None else str(value)
    return f"`{shown}`" if shown else '`""`'


def kind(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "$ref" in schema:
        return kind(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "allOf" in schema:  # how older releases of pydantic write a reference with a description
        return kind(schema["allOf"][0], defs)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(part, defs) for part in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return f"list of {kind(items[0], defs)}"
    names = {"integer": "whole number", "number": "number", "boolean": "true, false", "string": "text", "null": "none"}
    name = names.get(schema.get("type", ""), "mapping")
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = ", ".join(f"{sign} {schema[key]:g}" for key, sign in limits.items() if key in schema)
    return f"{name} {bounds}".strip()


def estimators() -> str:
    """Every built-in estimator with its source and its options."""
    parts = []
    for spec in catalog().advantages.values():
        if spec.plugin == "builtin":
            needs = f" Needs {', '.join(f'`{name}`' for name in spec.needs)}." if spec.needs else ""
            line = first_line(ROOT / f"plugins/gainful/advantage/{spec.name}.py")
            head = f"### {spec.name}\n\n{line}\n\nSource: {spec.source}. Differs: {spec.difference}.{needs}\n"
            rows = list(option_rows(spec.config_cls))
            parts.append(f"{head}\n{table(['option', 'values', 'default', 'meaning'], iter(rows))}" if rows else head)
    return "\n\n".join(parts)


def names(part: str) -> str:
    """Built-in names of one kind, with where they come from and the extra they need."""
    entries = [entry for entry in getattr(catalog(), KINDS[part]).values() if entry.plugin == "builtin"]
    rows = (
        [f"`{entry.name}`", entry.source or "ours", f"`{entry.extra}`" if entry.extra else "-"] for entry in entries
    )
    return table(["name", "source", "extra"], rows)


def store_options() -> str:
    """The options of each kind of store, which several schemes may share."""
    kinds: dict[type[Options], list[str]] = {}
    for entry in catalog().stores.values():
        if entry.plugin == "builtin" and entry.config_cls:
            kinds.setdefault(entry.config_cls, []).append(f"`{entry.name}://`")
    heads = ["option", "values", "default", "meaning"]
    return "\n\n".join(f"{', '.join(schemes)}\n\n{table(heads, option_rows(cls))}" for cls, schemes in kinds.items())


def hosts() -> str:
    """Ranges from the extras, tested versions from the requirement sets."""

    def rows() -> Iterator[list[str]]:
        for name, host in HOSTS.items():
            supported = ", ".join(sorted(check(name).supported.split(","), reverse=True))
            yield [host.distributions[0], supported, tested(name, host.distributions), f"`gainful[{name}]`"]

    return table(["host", "supported", "tested", "extra"], rows())


def tested(host: str, distributions: tuple[str, ...]) -> str:
    """Versions that rows install, the ends of the range marked; one release may be both ends."""
    sets = [file.read_text() for file in (ROOT / ".ci").glob(f"{host}.*.txt")]
    found = {pin for text in sets for pin in pins(text) if pin[0] in distributions}
    ordered = sorted(found, key=lambda pin: Version(pin[1]))
    shown = []
    for place, (name, version) in enumerate(ordered):
        ends = [end for end, there in (("oldest", 0), ("latest", len(ordered) - 1)) if place == there]
        notes = [*([] if name == distributions[0] else [name]), *([" and ".join(ends)] if ends else [])]
        shown.append(f"{version} ({', '.join(notes)})" if notes else version)
    return ", ".join(shown)


def pins(requirements: str) -> list[tuple[str, str]]:
    return re.findall(r"^([\w.-]+)==(\S+)", requirements, flags=re.MULTILINE)


def matrix() -> str:
    """The rows that `make test` runs, what each one pins, and when."""
    turns = dict.fromkeys(ALWAYS, "always") | {row: f"every {len(ROTATION)} days" for days in ROTATION for row in days}
    return table(["row", "pinned", "runs"], ([f"`make {target(row)}`", pinned(row), turns[row]] for row in ROWS))


def pinned(row: str) -> str:
    """torch is left out: it is in most rows, and no host."""
    found = [pin for file in requirement_sets(row) for pin in pins(file.read_text()) if pin[0] != "torch"]
    return ", ".join(f"{name} {version}" for name, version in found) or "-"


def requirements(which: str) -> str:
    """What gainful requires always (`base`), or with extras that are no hosts (`extras`)."""

    def rows() -> Iterator[list[str]]:
        for line in metadata("gainful").get_all("Requires-Dist") or ():
            wanted = Requirement(line)
            extra = re.search(r"extra == ['\"](.+?)['\"]", str(wanted.marker or ""))
            cells = [wanted.name, str(wanted.specifier) or "any"]
            if extra and which == "extras" and extra[1] not in (*HOSTS, "dev"):
                yield [f"`gainful[{extra[1]}]`", *cells]
            elif not extra and which == "base":
                yield cells

    return table([*(["extra"] if which == "extras" else []), "distribution", "supported"], rows())


def metrics() -> str:
    """What the connector counts, read from its source: importing it needs vLLM."""
    source = ast.parse((ROOT / "vllm_ext/gainful_vllm/stats.py").read_text())
    assigned = {node.target.id: node.value for node in source.body if isinstance(node, ast.AnnAssign) and node.value}
    sums, seen, levels = (ast.literal_eval(assigned[name]) for name in ("METRICS", "HISTOGRAMS", "GAUGES"))
    kinds = {name: ("sum", text, ", ".join(labels)) for name, (text, labels) in sums.items()}
    kinds |= {name: ("histogram", text, "") for name, (text, _) in seen.items()}
    kinds |= {name: ("level", text, "") for name, text in levels.items()}
    rows = ([f"`{name}`", kind, labels or "-", text] for name, (kind, text, labels) in kinds.items())
    return table(["name", "kind", "labels", "meaning"], rows)


def modules() -> str:
    """Modules of the core and packages of the adapters, each with the first line of its docstring."""
    core = sorted((ROOT / "plugins/gainful").iterdir(), key=lambda path: (path.is_file(), path.name))
    paths = [path for path in core if (path / "__init__.py").exists() or (path.suffix == ".py" and path.name[0] != "_")]
    return table(
        ["path", "what it is"],
        ([f"`{path.relative_to(ROOT)}`", first_line(path)] for path in [*paths, *map(ROOT.joinpath, ADAPTERS)]),
    )


def first_line(path: Path) -> str:
    source = path / "__init__.py" if path.is_dir() else path
    return (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n")[0]


PARTS: dict[str, Callable[..., str]] = {
    "options": options,
    "estimators": estimators,
    "names": names,
    "store_options": store_options,
    "hosts": hosts,
    "matrix": matrix,
    "metrics": metrics,
    "requirements": requirements,
    "modules": modules,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

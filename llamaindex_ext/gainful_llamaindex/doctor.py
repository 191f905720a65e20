"""What `gainful doctor llamaindex` asks in a fresh interpreter: do the parts fit, and which models can we cap?"""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

from gainful.doctor import Finding, answer

__all__ = ["findings"]

_WORKFLOWS = SpecifierSet(">=2.20,<3")


def findings() -> Iterator[Finding]:
    """Import all of the adapter, look at versions, and try a guarded run with a scripted model."""
    from gainful_llamaindex import __all__ as names
    from gainful_llamaindex import __getattr__ as load
    from gainful_llamaindex.versions import known_problems

    for name in names:
        load(name)
    yield Finding("gainful_llamaindex", "ok", f"{len(names)} public names import")
    yield _workflows()
    for problem, remedy in known_problems():
        yield Finding("versions", "problem", problem, remedy)
    yield _bm25()
    yield from _models()
    yield _guarded_run()


def _workflows() -> Finding:
    found = version("llama-index-workflows")
    if _WORKFLOWS.contains(found, prereleases=True):
        return Finding("llama-index-workflows", "ok", f"{found}, supported: {_WORKFLOWS}")
    detail = f"{found}, supported: {_WORKFLOWS}: tools could not find their ledger"
    return Finding("llama-index-workflows", "problem", detail, f"pip install 'llama-index-workflows{_WORKFLOWS}'")


def _bm25() -> Finding:
    try:
        return Finding("BM25", "ok", f"llama-index-retrievers-bm25 {version('llama-index-retrievers-bm25')}")
    except PackageNotFoundError:
        detail = "not installed: from_defaults takes an index or a retriever, not nodes or documents"
        return Finding("BM25", "note", detail, "pip install 'gainful[llamaindex]'")


def _models() -> Iterator[Finding]:
    """The classes of installed integrations whose output we can cap."""
    from gainful_llamaindex.token_caps import FIELDS

    for (package, cls), field in FIELDS.items():
        distribution = package.replace(".", "-").replace("_", "-")
        try:
            yield Finding(cls, "ok", f"capped by {field} ({distribution} {version(distribution)})")
        except PackageNotFoundError:
            continue


def _guarded_run() -> Finding:
    from llama_index.core.agent.workflow import FunctionAgent

    from gainful_llamaindex import guard
    from gainful_llamaindex.sync import run_sync
    from gainful_llamaindex.testing import Reply, ScriptedLLM

    def look(word: str) -> str:
        """Look a word up."""
        return word

    llm = ScriptedLLM(script=lambda messages, tools: Reply(tools=[("look", {"word": "x"})]) if tools else "done")
    agent = guard(FunctionAgent(tools=[look], llm=llm), "1/100")

    async def run() -> object:
        return await agent.run("hello")

    out = run_sync(run())
    spent = out.report.spent["tool_calls"]  # type: ignore[attr-defined]
    if str(out) == "done" and spent == 1:
        return Finding("guard", "ok", "a scripted agent that wants more was stopped at its limit")
    return Finding("guard", "problem", f"expected one call and 'done', got {spent} and {str(out)!r}", "report this")


if __name__ == "__main__":
    answer(findings())

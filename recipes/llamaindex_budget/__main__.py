"""The same questions under the same budget: a stock agent, the agent guarded, and the search agent. Offline."""

import argparse
import asyncio
import json
import platform
from importlib.metadata import version
from pathlib import Path

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.retrievers.bm25 import BM25Retriever
from script import scripted_llm
from world import Question, nodes, questions

from gainful_llamaindex import BudgetedSearchAgent, guard

HERE = Path(__file__).parent
PASSAGES = 3
OPEN, CLOSE = "```text", "\n```"  # of the one table in README.md


def main() -> None:
    arguments = read_arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    asked = questions()
    print(f"{len(nodes())} texts, {len(asked)} questions, budget {arguments.budget} (searches / output tokens)\n")
    rows = [asyncio.run(play(name, asked, arguments.budget, out)) for name in ("stock", "guarded", "search agent")]
    lines = table(rows)
    print("\n".join(lines))
    (out / "summary.json").write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.record:
        record(rows, lines, arguments.budget)
    print(f"\ntimelines: {out / 'guarded.html'} and {out / 'search_agent.html'}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="3/300", help="searches / output tokens")
    parser.add_argument("--out", default="out/llamaindex_budget", help="folder for the timelines")
    parser.add_argument("--record", action="store_true", help="write the figures into expected.json and README.md")
    return parser.parse_args()


def search_tool():
    """A plain function over BM25, as any LlamaIndex user would write it."""
    retriever = BM25Retriever.from_defaults(nodes=nodes(), similarity_top_k=PASSAGES)

    async def search(query: str) -> str:
        """Search the encyclopedia."""
        return "\n".join(node.get_content() for node in await retriever.aretrieve(query))

    return search


async def play(name: str, asked: list[Question], budget: str, out: Path) -> dict:
    """All questions with one agent; the counts come from the model's own record, not from a ledger."""
    llm = scripted_llm(asked)
    if name == "search agent":
        agent = BudgetedSearchAgent.from_defaults(nodes=nodes(), llm=llm, budget=budget, k=PASSAGES)
    else:
        agent = FunctionAgent(tools=[search_tool()], llm=llm)
        agent = guard(agent, budget) if name == "guarded" else agent
    runs = [await play_one(agent, llm, question) for question in asked]
    longest = max(range(len(runs)), key=lambda number: len(asked[number].hops))
    if hasattr(runs[longest]["output"], "report"):
        page = out / f"{name.replace(' ', '_')}.html"
        runs[longest]["output"].report.to_html(str(page))
        page.with_suffix(".fragment.html").write_text(runs[longest]["output"].report._repr_html_())
    return summary(name, runs, budget)


async def play_one(agent, llm, question: Question) -> dict:
    before = len(llm.calls)
    output = await agent.run(question.text)
    calls = llm.calls[before:]
    searches = sum(call.tool_name == "search" for call in output.tool_calls)
    tokens = sum(call.output_tokens for call in calls)
    return {"output": output, "right": str(output) == question.answer, "searches": searches, "tokens": tokens}


def summary(name: str, runs: list[dict], budget: str) -> dict:
    most_calls, most_tokens = (int(part) for part in budget.split("/"))
    over = sum(run["searches"] > most_calls or run["tokens"] > most_tokens for run in runs)
    return {
        "agent": name,
        "right": sum(run["right"] for run in runs),
        "questions": len(runs),
        "searches_mean": round(sum(run["searches"] for run in runs) / len(runs), 2),
        "searches_max": max(run["searches"] for run in runs),
        "tokens_mean": round(sum(run["tokens"] for run in runs) / len(runs), 1),
        "tokens_max": max(run["tokens"] for run in runs),
        "runs_over_budget": over,
    }


def table(rows: list[dict]) -> list[str]:
    lines = [f"{'agent':<14}{'right':>8}{'searches mean / max':>22}{'tokens mean / max':>20}{'runs over budget':>19}"]
    for row in rows:
        right = f"{row['right']}/{row['questions']}"
        searches = f"{row['searches_mean']:.2f} / {row['searches_max']}"
        tokens = f"{row['tokens_mean']:.1f} / {row['tokens_max']}"
        lines.append(f"{row['agent']:<14}{right:>8}{searches:>22}{tokens:>20}{row['runs_over_budget']:>19}")
    return lines


def record(rows: list[dict], lines: list[str], budget: str) -> None:
    """Put what was measured where the reader looks for it."""
    names = ("gainful", "llama-index-core", "llama-index-workflows", "llama-index-retrievers-bm25")
    versions = {"python": platform.python_version(), **{name: version(name) for name in names}}
    expected = {"budget": budget, "versions": versions, "measured": rows}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    before, _, rest = (HERE / "README.md").read_text().partition(OPEN)
    _, _, after = rest.partition(CLOSE)
    (HERE / "README.md").write_text("".join([before, OPEN, "\n", "\n".join(lines), CLOSE, after]))


if __name__ == "__main__":
    main()

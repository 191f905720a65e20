"""Write the generated tables of README.md: hosts from the extras, methods from the catalogue.

python .ci/readme.py          # rewrite
python .ci/readme.py --check  # fail if it would change something
"""

import re
import sys
from pathlib import Path

from gainful.builtin import NOT_IMPLEMENTED
from gainful.catalog import list_estimators
from gainful.hosts import HOSTS, check
from gainful.policy_loss.aspo_flip import REGISTRATION as ASPO_FLIP

README = Path(__file__).parents[1] / "README.md"
GIVES = {
    "verl": ("advantage estimators", "`algorithm.adv_estimator=agpo`"),
    "llamaindex": ("hard budgets, a budgeted search agent and query engine", '`guard(agent, "2/300")`'),
    "vllm": ("part of the KV cache from a store, the rest computed", "`kv_connector=SparKVConnector`"),
}


def hosts() -> str:
    rows = ["| host | supported | what you get | the line that switches it on |", "| --- | --- | --- | --- |"]
    for name in HOSTS:
        supported = ", ".join(sorted(check(name).supported.split(","), reverse=True))
        rows.append(f"| {HOSTS[name].distributions[0]} | {supported} | {GIVES[name][0]} | {GIVES[name][1]} |")
    return "\n".join(rows)


def methods() -> str:
    rows = ["| name | source | needs | evidence | difference from the source |", "| --- | --- | --- | --- | --- |"]
    for spec in list_estimators():
        if spec.plugin == "builtin":
            needs = ", ".join(spec.needs) or "-"
            rows.append(f"| `{spec.name}` | {spec.source} | {needs} | {spec.evidence} | {spec.difference} |")
    loss = ASPO_FLIP
    rows.append(f"| `aspo_flip` (a policy loss) | {loss['source']} | - | {loss['evidence']} | {loss['difference']} |")
    for name, reason in NOT_IMPLEMENTED.items():
        source, _, why = reason.partition(": ")
        rows.append(f"| `{name}` | {source} | | | not implemented, because {why} |")
    return "\n".join(rows)


def main() -> int:
    text = README.read_text()
    for part, make in (("hosts", hosts), ("methods", methods)):
        pattern = rf"(<!-- {part}: .*? -->\n).*?(<!-- end -->)"
        table = make()
        text = re.sub(pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
    if "--check" in sys.argv[1:]:
        if text != README.read_text():
            sys.stderr.write("README.md: a generated table is out of date; run make docs\n")
            return 1
        return 0
    README.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

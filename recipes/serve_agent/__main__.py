"""Serve budgeted search agents over HTTP, in front of any OpenAI-compatible model server.

vllm serve MODEL --enable-auto-tool-choice --tool-call-parser hermes
python recipes/serve_agent --api-base http://127.0.0.1:8000/v1 --model MODEL
curl http://127.0.0.1:8080/answer -d '{"question": "Who directed Velmar Crossing?", "budget": "2/300"}'
"""

import argparse

from command import add_arguments, make_allowance, make_application, make_llm, make_runners, read_nodes, serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    allowance = make_allowance(arguments)
    runners = make_runners(make_llm(arguments), read_nodes(arguments.corpus), allowance.default)
    serve(make_application(runners, allowance, arguments), arguments)


if __name__ == "__main__":
    main()

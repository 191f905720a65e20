# Every command a contributor needs. Each one makes the environments it uses.
.PHONY: demo test test-core test-core-oldest test-verl test-verl-oldest test-verl-nodes test-llamaindex test-llamaindex-oldest test-llamaindex-middle test-vllm test-vllm-http test-stores store-servers test-browser browser wheel-smoke lint format lab docs docs-site release-check newest bench clean env-core env-verl env-llamaindex env-vllm env-stores env-docs

demo: env-verl env-llamaindex env-vllm store-servers
	.venvs/verl/bin/python recipes/demo

# lint, the site, the latest release of each host, and the older rows whose turn it is
# ROWS=all runs every row, ROWS="verl-oldest lint" these
test:
	$${PYTHON:-python3} .ci/rows.py $(ROWS)

test-core: env-core
	.venvs/core/bin/python -m pytest tests/unit tests/property tests/contract tests/recipes

test-core-oldest:
	.ci/env.sh core oldest
	.venvs/core-oldest/bin/python -m pytest tests/unit tests/property tests/contract

test-verl: env-verl
	GAINFUL_EXPECT_HOSTS=verl .venvs/verl/bin/python -m pytest tests/verl tests/unit/infogain/test_nli.py -m "not two_nodes"

# two Ray nodes, as network namespaces of this machine
test-verl-nodes: env-verl
	GAINFUL_EXPECT_HOSTS=verl,namespaces .venvs/verl/bin/python -m pytest tests/verl -m two_nodes

test-llamaindex: env-llamaindex
	GAINFUL_EXPECT_HOSTS=llamaindex .venvs/llamaindex/bin/python -m pytest tests/llamaindex -m "not vllm_http"

# a real vLLM server, from its own environment, for agents in theirs
test-vllm-http: env-llamaindex env-vllm
	GAINFUL_EXPECT_HOSTS=llamaindex,vllm .venvs/llamaindex/bin/python -m pytest tests/llamaindex -m vllm_http

test-llamaindex-oldest test-llamaindex-middle: test-llamaindex-%:
	.ci/env.sh llamaindex $*
	GAINFUL_EXPECT_HOSTS=llamaindex .venvs/llamaindex-$*/bin/python -m pytest tests/llamaindex -m "not vllm_http"

test-vllm: env-vllm store-servers
	GAINFUL_EXPECT_HOSTS=vllm .venvs/vllm/bin/python -m pytest tests/vllm

# real servers behind the stores of KV chunks, and the optional parts of frames
test-stores: env-stores store-servers
	GAINFUL_EXPECT_HOSTS=stores .venvs/stores/bin/python -m pytest tests/stores tests/unit/sparkv/test_frame.py tests/property/test_sparkv_frame.py

store-servers:
	{ export PATH="$$PATH:/usr/sbin:/sbin" && command -v redis-server && command -v nginx && command -v tc; } >/dev/null || { apt-get update -qq && apt-get install --yes -qq redis-server nginx-light iproute2; }

# every page that is written, looked at in Chromium
test-browser: env-core browser
	GAINFUL_EXPECT_HOSTS=browser .venvs/core/bin/python -m pytest tests/browser

browser:
	{ command -v chromium && command -v chromedriver; } >/dev/null || { apt-get update -qq && apt-get install --yes -qq chromium chromium-driver; }

test-verl-oldest:
	.ci/env.sh verl oldest
	GAINFUL_EXPECT_HOSTS=verl .venvs/verl-oldest/bin/python -m pytest tests/verl -m "(not slow and not two_nodes) or every_release"

lint: env-core
	.venvs/core/bin/ruff check .
	.venvs/core/bin/ruff format --check .
	.venvs/core/bin/mypy

format: env-core
	.venvs/core/bin/ruff check --fix .
	.venvs/core/bin/ruff format .

lab: env-core
	.venvs/core/bin/python recipes/boundary_lab

docs: env-core
	.venvs/core/bin/python .ci/readme.py
	.venvs/core/bin/python .ci/docs.py

docs-site: env-docs
	NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/python -m mkdocs build --quiet --strict

release-check: env-core
	.venvs/core/bin/python .ci/release.py

# the wheel in a plain environment beside each host; not part of the pipeline, whose rows lay it over their own
wheel-smoke: env-core
	.venvs/core/bin/python .ci/wheel_smoke.py

# would the newest release of each host work? Not part of the pipeline
newest: env-core
	.venvs/core/bin/python .ci/newest.py

bench: env-verl
	.venvs/verl/bin/python recipes/bench/advantage.py
	.venvs/verl/bin/python recipes/bench/import_cost.py

env-core env-verl env-llamaindex env-vllm env-stores env-docs: env-%:
	.ci/env.sh $*

clean:
	rm -rf .venvs out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

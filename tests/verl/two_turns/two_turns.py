"""For tests: an agent loop that may use a tool once, and leaves every signal there is in its output.

The tool computes the value of an answer. A response whose first answer has the wrong value reads it and answers again.
"""

from uuid import uuid4

from task import parse_problem, value_of
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput
from verl.utils.tokenizer import normalize_token_ids
from verl.utils.tokenizer.chat_template import apply_chat_template

TOKENS_PER_TURN = 6
NAN = float("nan")


class TwoTurns(AgentLoopBase):
    """verl builds one per response and calls `run` once."""

    async def run(self, sampling_params, **row) -> AgentLoopOutput:
        problem = parse_problem(row["reward_model"]["ground_truth"])
        prompt_ids = normalize_token_ids(
            apply_chat_template(self.tokenizer, list(row["raw_prompt"]), tokenize=True, add_generation_prompt=True)
        )
        response = Response(self, prompt_ids, sampling_params)
        answers = [await response.answer()]
        states = ["the question"]
        if value_of(answers[0]) != problem.target:
            states.append(f"value {value_of(answers[0])}")
            response.read(f"<user>{value_of(answers[0]) or 'no'}<answer>")
            answers.append(await response.answer())
        return response.output(signals(problem, answers, states, response.mask))


class Response:
    """What has been written so far, by the policy (mask 1) and by the tool (mask 0)."""

    def __init__(self, loop, prompt_ids, sampling_params):
        self._loop, self._prompt_ids = loop, prompt_ids
        self._params = {**sampling_params, "max_tokens": TOKENS_PER_TURN}
        self._request_id, self._fields = uuid4().hex, {}
        self.ids, self.mask, self.log_probs = [], [], []

    async def answer(self) -> str:
        output = await self._loop.server_manager.generate(
            request_id=self._request_id, prompt_ids=self._prompt_ids + self.ids, sampling_params=self._params
        )
        self._fields = self._fields or output.extra_fields  # the weight version that wrote the tokens
        self._extend(output.token_ids, 1, output.log_probs)
        return self._loop.tokenizer.decode(output.token_ids, skip_special_tokens=True)

    def read(self, text: str) -> None:
        token_ids = self._loop.tokenizer.encode(text)
        self._extend(token_ids, 0, [0.0] * len(token_ids))

    def _extend(self, token_ids, policy, log_probs) -> None:
        self.ids += token_ids
        self.mask += [policy] * len(token_ids)
        self.log_probs += log_probs or [0.0] * len(token_ids)

    def output(self, extra_fields) -> AgentLoopOutput:
        return AgentLoopOutput(
            prompt_ids=self._prompt_ids,
            response_ids=self.ids,
            response_mask=self.mask,
            response_logprobs=self.log_probs,
            reward_score=float(extra_fields["success"]),
            num_turns=2 * len(extra_fields["turn_rewards"]),
            metrics={},
            extra_fields={**self._fields, **extra_fields, "reward_extra_info": {}},
        )


def signals(problem, answers, states, mask) -> dict:
    """One entry per signal, in the forms that `gainful.advantage.tabulate` reads."""
    values = [value_of(answer) for answer in answers]
    right = values[-1] == problem.target and problem.forbidden_digit not in answers[-1]
    last_of_turn = [bool(own) and not after for own, after in zip(mask, [*mask[1:], 0], strict=True)]
    return {
        "success": right,
        "tool_calls": len(answers) - 1,
        "anchor_ids": states,
        "answer_ids": answers[-1],
        "turn_rewards": [0.0] * (len(answers) - 1) + [float(right)],
        "entity_match": sum(digit in answers[-1] for digit in str(problem.target)) / len(str(problem.target)),
        "format_ok": values[-1] is not None,
        "prompt_confidence": 0.5,
        "step_conf": [0.5 if ends else NAN for ends in last_of_turn],
        "step_acc": [float(right) if ends else NAN for ends in last_of_turn],
    }

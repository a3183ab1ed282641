"""Print, as JSON, what fresh layers make of a base before they learn; run by the Python of vLLM's environment.

``python -m tests.vllm.check_added_layers`` puts them on the large reasoner, and has them read right solutions and the
same with one digit changed.
"""

from __future__ import annotations

import json
from typing import Final

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from calibrator.prm.added_layers import AddedLayers
from calibrator.prm.widened import Sample, chances, room_beside
from tests.reasoner.prompts import BEGIN, VOCABULARY, encode
from tests.reasoner.spoilt import spoilt
from tests.reasoner.tasks import Problem, fresh
from tests.reasoner.train_prm import BASE, WEIGHTS

_EACH: Final = 60


def main() -> None:
    """Read, and print."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    problems = [problem for operations in (2, 4) for problem in fresh("test", operations, _EACH, seed=3)]
    right = [_sample(problem, problem.solution) for problem in problems]
    wrong = [_sample(problem, spoilt(problem.solution, seed)) for seed, problem in enumerate(problems)]
    plain = AutoModelForCausalLM.from_pretrained(WEIGHTS / BASE, dtype=torch.float32).eval()
    head = AutoModelForSequenceClassification.from_pretrained(WEIGHTS / BASE, num_labels=1, dtype=torch.float32)
    gathered = room_beside(head.config).found.start + 1
    vocabulary = plain.get_output_embeddings().weight.detach()
    added = AddedLayers(head, vocabulary, 2, [*right, *wrong])
    with torch.no_grad():
        known = added.base_of([each.ids for each in (*right, *wrong)])
        last = [plain.base_model(input_ids=torch.tensor([each.ids])).last_hidden_state[0] for each in (*right, *wrong)]
        told = [chances(states, vocabulary, each.ids) for states, each in zip(last, (*right, *wrong), strict=True)]
        read = added.states(known, [[len(each.ids) - 1] for each in (*right, *wrong)])
        loss = added.surprise_loss(known, [each.start for each in (*right, *wrong)]).item()
    differences = [(ours - theirs).abs().max() for (_, ours), theirs in zip(known, told, strict=True)]
    print(
        json.dumps(
            {
                "off_by_at_most": float(max(differences)),
                "surprise_loss": loss,
                "auc": _auc(read[:, gathered], len(right)),
            }
        )
    )


def _sample(problem: Problem, solution: str) -> Sample:
    before = [VOCABULARY.index(BEGIN), *encode(f"{problem.question}\n")]
    return Sample([*before, *encode(solution)], len(before))


def _auc(scores: Tensor, right: int) -> float:
    """How often a right solution scores above a wrong one."""
    return float((scores[:right, None] > scores[None, right:]).float().mean())


if __name__ == "__main__":
    main()

"""Verifiers over HTTP: their health, the caps that follow from it, and lifting one."""

from __future__ import annotations

from pathlib import Path

from gateway.store.changes import Changes
from gateway.store.verifier_looks import VerifierLooks
from tests.http.admin.administrator import Administrator, fresh
from tests.store.profiles import changed
from tests.store.tenants import OPERATOR
from tests.store.test_verifier_looks import look


def _examine(home: Path, name: str, *caps: int | None) -> None:
    """What a calibrator does beside the gateway."""

    async def record(changes: Changes) -> None:
        for number, cap in enumerate(caps, 1):
            await VerifierLooks(changes).record(look(number, cap, verifier=name), OPERATOR)

    changed(home, record)


def test_health_is_listed_and_every_look_can_be_read(admin: Administrator, home: Path) -> None:
    """The last look stands in the list with all its figures, and those before it in the verifier's own."""
    name = fresh("prm")
    _examine(home, name, 4, None)
    [found] = [each for each in admin.get("/verifiers")["data"] if each["name"] == name]
    assert (found["is_configured"], found["cap"]) == (False, 4)
    last = found["look"]
    assert (last["number"], last["cap"], last["cap_after"], last["by"]) == (2, None, 4, OPERATOR.id)
    assert (last["source"], last["answers"], last["problems"]) == ("file traces.jsonl", 192, 12)
    assert last["within_auc"]["low"] < last["within_auc"]["value"] < last["within_auc"]["high"]
    assert [each["samples"] for each in last["best_of"]] == [1, 2, 4, 8, 16]
    assert last["best_of"][0]["accuracy"]["problems"] == 12
    looks = admin.get(f"/verifiers/{name}/looks")["data"]
    assert [each["number"] for each in looks] == [2, 1]
    assert looks[0] == last
    assert len(admin.get(f"/verifiers/{name}/looks", limit=1)["data"]) == 1
    assert admin.get(f"/verifiers/{fresh('nobody')}/looks")["data"] == []


def test_a_cap_is_lifted_once(admin: Administrator, home: Path) -> None:
    """With its row in the audit log; where there is no cap, or was no look, that is said."""
    name = fresh("prm")
    assert admin.ask("POST", f"/verifiers/{name}/lift").status_code == 404
    _examine(home, name, 4)
    done = admin.done("POST", f"/verifiers/{name}/lift")
    assert (done["name"], done["cap"], done["look"]["cap_after"]) == (name, None, 4)
    assert done["look"]["lifted_by"] == "admin"
    refused = admin.ask("POST", f"/verifiers/{name}/lift")
    assert (refused.status_code, "no cap in force" in refused.text) == (409, True)
    [entry] = [each for each in admin.get("/audit", limit=5)["data"] if each["action"] == "verifier.lift"][:1]
    assert entry["target"] == f"verifier:{name}"

"""The folders of policies: which of them count, faults in them, and whether they changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.policy_files import SHIPPED, PolicyFiles
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from tests.policy.documents import policy_text, write_policy


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """The folder of what we ship: ``default`` and ``thrift``."""
    folder = tmp_path / "shipped"
    write_policy(folder, "default")
    write_policy(folder, "thrift")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The operator's folder, beside ponder.yaml."""
    return tmp_path / "home" / "policies"


@pytest.fixture
def files(shipped: Path, own: Path) -> PolicyFiles:
    """The policies of an operator."""
    return PolicyFiles(own.parent / "ponder.yaml", shipped=shipped)


def test_what_is_shipped_is_there() -> None:
    """The policies of this release are found, and whole."""
    assert "default" in PolicyFiles(Path("nowhere/ponder.yaml")).read(Settings())
    assert SHIPPED.is_dir()


def test_an_operator_needs_no_folder(files: PolicyFiles) -> None:
    """Without a folder of one's own, what is shipped is there."""
    assert files.read(Settings()).keys() == {"default", "thrift"}


def test_the_operators_go_before_the_shipped(files: PolicyFiles, own: Path) -> None:
    """A policy of one's own joins the shipped ones, or takes the place of that of its name."""
    before = files.read(Settings())
    write_policy(own, "ours")
    write_policy(own, "default", policy_text(deadline_s=9))
    policies = files.read(Settings())
    assert policies.keys() == {"default", "ours", "thrift"}
    assert policies["default"].document.defaults.deadline_s == 9
    assert policies["default"].digest != before["default"].digest
    assert policies["thrift"] == before["thrift"]


def test_the_folder_may_lie_elsewhere(files: PolicyFiles, own: Path, tmp_path: Path) -> None:
    """policies_dir is taken from where ponder.yaml lies, or absolute; the folder beside it then counts no more."""
    write_policy(own, "ours")
    write_policy(own.parent / "rules", "theirs")
    write_policy(tmp_path / "far", "far")
    assert files.read(Settings(policies_dir="rules")).keys() == {"default", "thrift", "theirs"}
    assert files.read(Settings(policies_dir=str(tmp_path / "far"))).keys() == {"default", "thrift", "far"}
    with pytest.raises(ConfigurationError, match="policies_dir: there is no folder 'missing'"):
        files.read(Settings(policies_dir="missing"))


def test_one_fault_refuses_all_of_them_and_all_faults_are_told(files: PolicyFiles, own: Path) -> None:
    """Every broken policy is named with its line; none is taken."""
    write_policy(own, "one", policy_text("one").replace("max_cost_usd", "max_costs_usd"))
    write_policy(own, "two", "policy: two: three\n")
    write_policy(own, "three", policy_text("four"))
    write_policy(own, "five").write_bytes(b"policy: \xff")
    with pytest.raises(ConfigurationError) as fault:
        files.read(Settings())
    for words in ("one/policy.yaml:3", "did you mean 'max_cost_usd'", "two/policy.yaml", "'four'", "not UTF-8"):
        assert words in fault.value.message


def test_a_misnamed_file_is_told(files: PolicyFiles, own: Path) -> None:
    """A policy that nobody would read for its file's name is a fault, not silence."""
    write_policy(own, "ours").rename(own / "ours" / "policy.yml")
    with pytest.raises(ConfigurationError, match=r"ours/policy\.yml must be called policy\.yaml"):
        files.read(Settings())


def test_a_file_that_cannot_be_read_is_told(files: PolicyFiles, own: Path) -> None:
    """A folder in the place of the file is a fault with the system's reason."""
    (own / "ours" / "policy.yaml").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"ours/policy\.yaml cannot be read"):
        files.read(Settings())


def test_the_policy_to_use_must_be_there(files: PolicyFiles) -> None:
    """ponder.yaml cannot name a policy that does not exist; the message lists those that do."""
    assert files.read(Settings(policy="thrift"))
    with pytest.raises(ConfigurationError, match="there is no policy 'thirft'; there are: default, thrift"):
        files.read(Settings(policy="thirft"))


def test_every_change_shows_in_the_stamp(files: PolicyFiles, own: Path, shipped: Path) -> None:
    """A policy that is added, changed, renamed or removed changes the stamp; other files do not."""
    stamps = [files.stamp()]
    file = write_policy(own, "ours")
    stamps.append(files.stamp())
    file.write_text(policy_text("ours", deadline_s=100), "utf-8")
    stamps.append(files.stamp())
    file.parent.rename(own / "theirs")
    stamps.append(files.stamp())
    (own / "theirs" / "policy.yaml").unlink()
    stamps.append(files.stamp())
    (shipped / "thrift" / "policy.yaml").unlink()
    stamps.append(files.stamp())
    (own / "theirs" / "cases.yaml").write_text("cases: []", "utf-8")
    assert len(set(stamps)) == 5
    assert stamps[0] == stamps[4]
    assert files.stamp() == stamps[-1]


def test_the_stamp_follows_the_folder_that_was_read(files: PolicyFiles, own: Path) -> None:
    """After policies_dir was set, changes in that folder count."""
    folder = own.parent / "rules"
    write_policy(folder, "theirs")
    files.read(Settings(policies_dir="rules"))
    before = files.stamp()
    write_policy(own, "ours")
    assert files.stamp() == before
    write_policy(folder, "more")
    assert files.stamp() != before

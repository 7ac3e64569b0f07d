"""The tables of the releases, stored as differences: each release has what its schema says."""

from __future__ import annotations

import pytest

from codegen.__main__ import ROOT
from codegen.registry import releases_module_text
from codegen.releases import Release, load_releases
from pykraft.protocol import api

RELEASES = load_releases(ROOT / "schemas" / "releases.json")


def test_the_releases_are_known_in_their_order() -> None:
    assert api.releases() == tuple(RELEASES)


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_has_its_apis_and_records(name: str) -> None:
    release = RELEASES[name]
    found = api.release_apis(name)
    assert list(found) == sorted(release.apis)
    for key, wanted in release.apis.items():
        spec = found[api.ApiKey(key)]
        assert (spec.min_version, spec.max_version) == wanted.versions
        assert (spec.listeners, spec.latest_version_unstable) == (
            frozenset(wanted.listeners),
            wanted.latest_version_unstable,
        )
    assert dict(api.record_versions(name)) == release.records


def test_what_goes_and_comes_again_is_there_again() -> None:
    some = RELEASES["3.9.1"]
    without = Release({key: found for key, found in some.apis.items() if key != 4}, some.records)
    text = releases_module_text({"1": some, "2": without, "3": some})
    space: dict[str, dict[str, dict[int, object]]] = {}
    exec(text, space)
    assert space["APIS"]["2"] == {4: None}
    assert space["APIS"]["3"] == {4: space["APIS"]["1"][4]}

"""What a release checks before it is one."""

from osdcodec.maintenance import release

GOOD = [*release.WANTED, release.PAGE + "index.html", "osdcodec/codec.py"]


def test_the_version_is_found_in_each_file():
    found = release.versions()
    assert found["pyproject.toml"] == found["CITATION.cff"]
    assert found["CHANGELOG.md"] in ("none", found["pyproject.toml"])  # until the release names its section


def test_a_wheel_holds_what_users_run_and_nothing_else():
    assert release.faults_of_wheel(GOOD) == []
    assert release.faults_of_wheel(GOOD[1:]) == [f"{GOOD[0]} is missing in the wheel"]
    for name in ("osdcodec/maintenance/embed.py", "osdcodec/web/src/page.ts", "osdcodec/web/package-lock.json"):
        assert release.faults_of_wheel([*GOOD, name]) == [f"{name} does not belong into the wheel"]
    assert "npm run build" in release.faults_of_wheel(release.WANTED)[0]

"""`gainful doctor verl --probe`: verl itself computes an advantage with our function."""

import json

from gainful_verl import doctor_probe


def test_the_live_probe_goes_through_verls_own_compute_advantage(fresh):
    status, output = fresh("-m", "gainful", "doctor", "verl", "--probe", "--json")
    assert status == 0, output
    found = {finding["subject"]: finding for finding in json.loads(output[output.index("{") :])["verl"]}
    assert found["live"]["state"] == "ok"
    assert "compute_advantage with agpo: [0.707, -1.707, -1.0, -1.0]" in found["live"]["detail"]


def test_the_live_probe_notices_another_result(monkeypatch):
    monkeypatch.setattr(doctor_probe, "EXPECTED", [0.0, 0.0, 0.0, 0.0])
    [finding] = doctor_probe.findings()
    assert finding.state == "problem"
    assert finding.remedy

from __future__ import annotations

from ops.bench.traffic import Traffic


def test_traffic_is_what_came_since_another_look():
    before = Traffic.of({"bytes.in": 10.0, "requests.Produce": 1.0, "requests.Fetch": 5.0, "ms.Produce": 2.5})
    after = Traffic.of(
        {"bytes.in": 40.0, "bytes.out": 7.0, "requests.Produce": 4.0, "requests.Fetch": 5.0, "ms.Produce": 4.0}
    )

    found = after.since(before)

    assert found == Traffic(bytes_in=30, bytes_out=7, requests={"Produce": 3}, ms={"Produce": 1.5})
    assert found.network_bytes == 37

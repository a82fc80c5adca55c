"""A throttle group on a clock of its own lets requests through when QEMU 7.2 was seen to."""

import json

import pytest

from cleancut_reference.arithmetic import NS_PER_S
from cleancut_reference.block.throttle import ThrottleGroup
from tests.throttling import CASES, RECORDED

SEEN = json.loads(RECORDED.read_text())
#: What a busy machine adds to a request.
SLACK_S = 0.06


@pytest.mark.parametrize("name", CASES)
def test_requests_wait_as_long_as_in_qemu(name: str) -> None:
    limits, requests = CASES[name]
    group, now_ns, ended = ThrottleGroup(limits), 0, []
    for direction, length_bytes in requests:
        while wait_ns := group.wait_ns(direction, now_ns):
            now_ns += wait_ns
        group.account(direction, length_bytes, now_ns)
        ended.append(now_ns / NS_PER_S)
    assert len(ended) == len(SEEN[name])
    for ours, theirs in zip(ended, SEEN[name], strict=True):
        assert -0.01 <= theirs - ours <= SLACK_S, (ended, SEEN[name])

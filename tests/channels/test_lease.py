import asyncio

import pytest

from channels import lease


def test_without_a_lease_a_send_may_begin():
    lease.check()


def test_within_the_lease_a_send_may_begin():
    with lease.lease(lease.boottime() + 60):
        lease.check()


def test_after_the_lease_no_send_begins():
    with lease.lease(lease.boottime() - 0.001), pytest.raises(lease.LeaseOver):
        lease.check()
    lease.check()


async def test_each_task_has_its_own_lease():
    async def one(until: float) -> bool:
        with lease.lease(until):
            await asyncio.sleep(0.01)
            try:
                lease.check()
            except lease.LeaseOver:
                return False
            return True

    now = lease.boottime()
    assert await asyncio.gather(*(one(now + offset) for offset in (60, -1, 60, -1))) == [True, False, True, False]


def test_the_clock_never_goes_back():
    instants = [lease.boottime() for _ in range(1000)]
    assert instants == sorted(instants)

"""Key look-ups and inserts by the drivers of a Python service: one process, one event loop of uvloop.

usage: peers.py asyncpg|asyncpg-no-reset|psycopg postgres://...
       peers.py aiosqlite file NORMAL|FULL

Each line of standard input asks for one turn, and each turn is answered with one line of JSON:

    {"work": "reads", "callers": 16, "warm_up": 0.1, "measured": 0.4}
    {"rate": 9876.5, "p50_us": 1.2, "p99_us": 3.4, "p999_us": 5.6, "cpu_us": 7.8}

`work` is `reads` or `inserts`. The table must be there, filled with rows whose amount equals their key; the Rust
program makes it, and compares.
"""

import asyncio
import json
import sys
import time

import uvloop

POOL = 16
ROWS = 10_000
# how far apart callers begin, so that no two of them do the same at the same time
STRIDE = 1_009


class Asyncpg:
    """The pool of asyncpg; at each return it resets the session, which is a round trip, unless told not to."""

    select = "SELECT name, amount FROM backstop_item WHERE id = $1"
    add = "INSERT INTO backstop_item (name, amount) VALUES ($1, $2)"

    def __init__(self, resets=True):
        self.resets = resets

    async def open(self, url):
        import asyncpg

        async def leave(connection):
            pass

        settings = {} if self.resets else {"reset": leave}
        self.pool = await asyncpg.create_pool(url, min_size=POOL, max_size=POOL, **settings)

    async def read(self, key):
        async with self.pool.acquire() as connection:
            return await connection.fetchrow(self.select, key)

    async def insert(self, amount):
        async with self.pool.acquire() as connection:
            done = await connection.execute(self.add, "an item", amount)
            assert done == "INSERT 0 1", done

    async def close(self):
        await self.pool.close()


class Psycopg:
    """The pool of psycopg 3, without a transaction around each statement, and prepared at the first use."""

    select = "SELECT name, amount FROM backstop_item WHERE id = %s"
    add = "INSERT INTO backstop_item (name, amount) VALUES (%s, %s)"

    async def open(self, url):
        from psycopg_pool import AsyncConnectionPool

        settings = {"autocommit": True, "prepare_threshold": 0}
        self.pool = AsyncConnectionPool(url, min_size=POOL, max_size=POOL, open=False, kwargs=settings)
        await self.pool.open(wait=True)

    async def read(self, key):
        async with self.pool.connection() as connection:
            return await (await connection.execute(self.select, (key,))).fetchone()

    async def insert(self, amount):
        async with self.pool.connection() as connection:
            done = await connection.execute(self.add, ("an item", amount))
            assert done.rowcount == 1, done.rowcount

    async def close(self):
        await self.pool.close()


class Aiosqlite:
    """One connection with a thread of its own; each call is one hop to it and back."""

    select = "SELECT name, amount FROM item WHERE id = ?"
    add = "INSERT INTO item (name, amount) VALUES (?, ?)"

    async def open(self, file, synchronous):
        import aiosqlite

        self.database = await aiosqlite.connect(file, isolation_level=None)
        await self.database.execute("PRAGMA journal_mode = WAL")
        await self.database.execute(f"PRAGMA synchronous = {synchronous}")
        await self.database.execute("PRAGMA busy_timeout = 5000")

    async def read(self, key):
        rows = await self.database.execute_fetchall(self.select, (key,))
        return next(iter(rows))

    async def insert(self, amount):
        await self.database.execute_insert(self.add, ("an item", amount))

    async def close(self):
        # its thread keeps the process alive
        await self.database.close()


class Turn:
    """Closed loops of callers that count while `counting` and end when `over`."""

    def __init__(self, peer, work):
        self.peer, self.work = peer, work
        self.counting = self.over = False
        self.latencies = []

    async def caller(self, number):
        turn = number * STRIDE
        operation = self.read if self.work == "reads" else self.peer.insert
        while not self.over:
            turn += 1
            start = time.perf_counter_ns()
            await operation(turn)
            if self.counting:
                self.latencies.append(time.perf_counter_ns() - start)

    async def read(self, turn):
        key = turn * 7_919 % ROWS + 1
        row = await self.peer.read(key)
        assert row[1] == key, (row, key)

    async def run(self, callers, warm_up, measured):
        tasks = [asyncio.ensure_future(self.caller(number)) for number in range(callers)]
        await asyncio.sleep(warm_up)
        start, cpu = time.perf_counter(), time.process_time()
        self.counting = True
        await asyncio.sleep(measured)
        self.counting, self.over = False, True
        elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
        await asyncio.gather(*tasks)
        return self.summary(elapsed, cpu)

    def summary(self, elapsed, cpu):
        seen = sorted(self.latencies)
        assert seen, "no operation ended in time"

        def micros(share):
            return seen[min(int(len(seen) * share), len(seen) - 1)] / 1e3

        return {
            "rate": len(seen) / elapsed,
            "p50_us": micros(0.5),
            "p99_us": micros(0.99),
            "p999_us": micros(0.999),
            "cpu_us": cpu * 1e6 / len(seen),
        }


PEERS = {
    "asyncpg": Asyncpg,
    "asyncpg-no-reset": lambda: Asyncpg(resets=False),
    "psycopg": Psycopg,
    "aiosqlite": Aiosqlite,
}


async def main(name, *target):
    peer = PEERS[name]()
    await peer.open(*target)
    loop = asyncio.get_running_loop()
    try:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            turn = Turn(peer, order["work"])
            seen = await turn.run(order["callers"], order["warm_up"], order["measured"])
            print(json.dumps(seen), flush=True)
    finally:
        await peer.close()


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in PEERS:
        sys.exit(__doc__)
    uvloop.run(main(*sys.argv[1:]))

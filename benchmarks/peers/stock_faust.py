"""With Faust as its guide has it: one agent, two tables."""

from __future__ import annotations

import sys

import faust
import orjson

from benchmarks.peers.waiting import filled, result, serving, waits_for


def new_app(kafka: str, topic: str, output: str, state_dir: str) -> faust.App:
    app = faust.App(
        f"{output}-group",
        broker=f"kafka://{kafka}",
        store="rocksdb://",
        datadir=state_dir,
        topic_partitions=4,
        topic_replication_factor=1,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
    )
    source = app.topic(topic, key_type=bytes, value_type=bytes, partitions=4)
    target = app.topic(output, key_type=bytes, value_type=bytes, partitions=4)
    synced = app.Table("synced", partitions=4, key_type=bytes, value_type=bytes)
    held = app.Table("held", partitions=4, key_type=bytes, value_type=bytes)
    begun = False

    @app.agent(source)  # type: ignore[untyped-decorator]
    async def join(stream: faust.StreamT) -> None:
        nonlocal begun
        async for event in stream.events():
            if not begun:
                begun = True
                serving()
            key, value = event.key, event.value
            if (known := result(value)) is not None:
                synced[key] = known[1].encode()
                if waiting := held.get(key):
                    del held[key]
                    for field, command in orjson.loads(waiting):
                        await target.send(key=key, value=filled(command.encode(), field, known[1]))
                continue
            on, field, command = waits_for(value)
            if on is None:
                await target.send(key=key, value=command)
            elif (id_ := synced.get(key)) is not None:
                await target.send(key=key, value=filled(command, field, id_.decode()))
            else:
                held[key] = orjson.dumps([*orjson.loads(held.get(key) or b"[]"), [field, command.decode()]])

    return app


if __name__ == "__main__":
    made = new_app(*sys.argv[1:5])
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    made.main()

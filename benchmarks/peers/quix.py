"""With Quix Streams: RocksDB state and a changelog."""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application

from benchmarks.peers.waiting import filled, result, serving, waits_for


def main(kafka: str, topic: str, output: str, state_dir: str) -> None:
    app = Application(
        broker_address=kafka,
        consumer_group=f"{output}-group",
        auto_offset_reset="earliest",
        state_dir=state_dir,
        loglevel="WARNING",
        commit_interval=1.0,
        producer_extra_config={"acks": "all", "linger.ms": 5},
    )
    source = app.topic(topic, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(output, key_serializer="bytes", value_serializer="bytes")
    begun = False

    def join(value: bytes, state: Any) -> list[bytes]:
        nonlocal begun
        if not begun:
            begun = True
            serving()
        if (synced := result(value)) is not None:
            id_ = synced[1]
            state.set("synced", id_)
            held = state.get("held")
            if held is None:
                return []
            state.delete("held")
            return [filled(command.encode(), field, id_) for field, command in held]
        on, field, command = waits_for(value)
        if on is None:
            return [command]
        if (id_ := state.get("synced")) is not None:
            return [filled(command, field, id_)]
        state.set("held", [*state.get("held", []), [field, command.decode()]])
        return []

    app.dataframe(source).apply(join, stateful=True, expand=True).to_topic(target)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The loop: commands in; one transaction each; replies out; then the offsets."""

import logging
import os
import signal
from pathlib import Path

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from contract import Command, Reply, decode, failure, headers_of
from handler import HANDLERS

NAME = "clearing"
KAFKA_BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP"]
DATABASE_URL = os.environ["DATABASE_URL"]
COMMAND_TOPIC = os.environ.get("COMMAND_TOPIC", "clearing.commands")
DEAD_LETTER_TOPIC = os.environ.get("DEAD_LETTER_TOPIC", f"{NAME}.dead-letters")
GROUP = os.environ.get("GROUP", NAME)
INSTANCE = os.environ.get("INSTANCE", "")

BATCH = 100
BEGIN = "SELECT verdict, outcome, error_code, retryable, effect, reply FROM sagabus_barrier.begin(%s, %s, %s, %s, %s, %s)"
FINISH = "SELECT sagabus_barrier.finish(%s, %s, %s, %s, %s, %s)"

log = logging.getLogger(NAME)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    database = psycopg.connect(DATABASE_URL, autocommit=True)
    apply_schema(database)
    producer = Producer({
        "bootstrap.servers": KAFKA_BOOTSTRAP,
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as the Java client, so that one saga's records stay on one partition
        "message.timeout.ms": 0,  # what the broker cannot take now is tried again without end
        "compression.type": "lz4",
        "message.max.bytes": 2_000_000,
    })
    consumer = Consumer({
        "bootstrap.servers": KAFKA_BOOTSTRAP,
        "group.id": GROUP,
        "group.instance.id": INSTANCE,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    })
    consumer.subscribe([COMMAND_TOPIC])
    log.info("%s reads %s", NAME, COMMAND_TOPIC)
    while not stopping:
        first = consumer.poll(1.0)
        if first is None:
            continue
        for message in [first, *consumer.consume(BATCH - 1, timeout=0)]:
            take(database, producer, message)
        producer.flush()
        commit(consumer)
    consumer.close()


def apply_schema(database: psycopg.Connection) -> None:
    """One process at a time: two that make the same table at once disturb each other."""
    with database.transaction():
        database.execute("SELECT pg_advisory_xact_lock(5242)")
        for file in ("sagabus_barrier.sql", "schema.sql"):
            database.execute(Path(__file__).with_name(file).read_bytes())


def take(database: psycopg.Connection, producer: Producer, message: Message) -> None:
    if error := message.error():
        if error.fatal():
            raise KafkaException(error)
        log.warning("consumer: %s", error)
        return
    try:
        command = decode(message)
        if (command.action, command.type) not in HANDLERS:
            raise ValueError(f"nobody here handles {command.action} {command.type}")
    except ValueError as reason:
        log.warning("%s/%s@%s is no command: %s", message.topic(), message.partition(), message.offset(), reason)
        send(producer, DEAD_LETTER_TOPIC, message.key(), message.value(), message.headers())
        return
    reply = answer(database, command)
    if reply:
        send(producer, command.reply_to, command.key, reply.data, headers_of(reply, command, NAME))


def answer(database: psycopg.Connection, command: Command) -> Reply | None:
    """Effect and reply become true together. None: nothing is known, so nothing is said, and the command comes again."""
    try:
        with database.transaction():
            begin = (command.id, command.saga_id, command.step, command.action, command.attempt, command.data_hash)
            verdict, *stored = database.execute(BEGIN, begin).fetchone()
            match verdict:
                case "run":
                    if command.is_expired():
                        reply = failure("saga.expired", "nobody waits for it any longer")
                    else:
                        reply = HANDLERS[command.action, command.type](database, command)
                    finish = (command.id, reply.outcome, reply.code, reply.retryable, reply.effect, reply.data)
                    database.execute(FINISH, finish)
                    return reply
                case "conflict":
                    return failure("saga.conflict", "this command id came with other data before")
                case "busy":
                    return None
                case _:
                    return Reply(*stored)
    except Exception:
        if database.closed:
            raise  # the process ends, and is restarted where its offsets are
        log.exception("command %s was rolled back", command.id)
        return None


def send(producer: Producer, topic: str, key: bytes | None, value: bytes | None, headers) -> None:
    try:
        producer.produce(topic, value, key, headers=headers, on_delivery=report)
    except KafkaException as error:
        log.error("not sent to %s: %s", topic, error)


def report(error: KafkaError | None, message: Message) -> None:
    """A failure here is final. A reply that is missed is asked for again, and given from the store."""
    if error:
        log.error("not sent to %s: %s", message.topic(), error)


def commit(consumer: Consumer) -> None:
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        log.warning("offsets not committed, commands come again: %s", error)


if __name__ == "__main__":
    main()

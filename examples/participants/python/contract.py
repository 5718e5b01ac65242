"""The contract's words: what a command says, and what a reply must say. CloudEvents 1.0, Kafka's binary mode."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from confluent_kafka import Message

TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True)
class Command:
    id: UUID
    """Deduplicate on this."""
    saga_id: UUID
    step: str
    action: str
    """do or undo"""
    attempt: int
    type: str
    reply_to: str
    expires_at: datetime | None
    """After this nobody waits for the answer to a do."""
    key: bytes | None
    data: Any
    data_hash: bytes
    trace: list[tuple[str, bytes]]

    def is_expired(self) -> bool:
        return self.action == "do" and self.expires_at is not None and self.expires_at < datetime.now(UTC)


@dataclass(frozen=True)
class Reply:
    outcome: str
    code: str | None
    retryable: bool
    effect: bool
    data: bytes


def success(data: Any = None) -> Reply:
    return Reply("success", None, False, True, json.dumps({} if data is None else data).encode())


def failure(code: str, message: str, retryable: bool = False) -> Reply:
    return Reply("failure", code, retryable, True, json.dumps({"message": message}).encode())


def decode(message: Message) -> Command:
    """Reads a record. ValueError: it is no command."""
    headers: dict[str, bytes] = {}
    for name, value in message.headers() or []:
        name = name.lower()
        if name in headers and (name.startswith("ce_") or name == "content-type"):
            raise ValueError(f"header {name} is there twice")
        headers[name] = value or b""

    def text(name: str) -> str:
        value = headers.get(name, b"").decode()
        if not value or "\0" in value:
            raise ValueError(f"header {name} is missing or unreadable")
        return value

    value = message.value() or b""
    action, attempt, reply_to = text("ce_sagaaction"), text("ce_sagaattempt"), text("ce_replyto")
    if text("ce_specversion") != "1.0":
        raise ValueError("ce_specversion is not 1.0")
    if action not in ("do", "undo"):
        raise ValueError("ce_sagaaction is neither do nor undo")
    if not re.fullmatch(r"[0-9]{1,5}", attempt):
        raise ValueError("ce_sagaattempt is no number")
    if not TOPIC.fullmatch(reply_to):
        raise ValueError("ce_replyto is no topic")
    try:
        data = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the value is not JSON: {error}") from error
    return Command(
        id=UUID(text("ce_id")),
        saga_id=UUID(text("ce_correlationid")),
        step=text("ce_sagastep"),
        action=action,
        attempt=int(attempt),
        type=text("ce_type"),
        reply_to=reply_to,
        expires_at=datetime.fromisoformat(text("ce_expirytime")).astimezone() if "ce_expirytime" in headers else None,
        key=message.key(),
        data=data,
        data_hash=hashlib.sha256(value).digest(),
        trace=[(name, headers[name]) for name in ("traceparent", "tracestate") if name in headers],
    )


def headers_of(reply: Reply, command: Command, participant: str) -> list[tuple[str, str | bytes]]:
    """The same reply to the same command has the same id, so that a repetition can be told."""
    kind = "conflict" if reply.code == "saga.conflict" else reply.outcome
    headers: list[tuple[str, str | bytes]] = [
        ("ce_specversion", "1.0"),
        ("content-type", "application/json"),
        ("ce_id", f"{command.id}:{kind}"),
        ("ce_source", f"/participants/{participant}"),
        ("ce_type", f"{command.type}.{reply.outcome}"),
        ("ce_correlationid", str(command.saga_id)),
        ("ce_causationid", str(command.id)),
        ("ce_sagaoutcome", reply.outcome),
    ]
    if reply.code:
        headers.append(("ce_sagaerrorcode", reply.code))
    if reply.retryable:
        headers.append(("ce_sagaretryable", "true"))
    if not reply.effect:
        headers.append(("ce_sagaeffect", "false"))
    return headers + command.trace

// The contract's words: what a command says, and what a reply must say. CloudEvents 1.0, Kafka's binary mode.

import { createHash } from 'node:crypto'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const TOPIC = /^[A-Za-z0-9._-]{1,249}$/
const TEXT = /^[^\0]+$/
const utf8 = new TextDecoder('utf-8', { fatal: true })

export function success(data = {}) {
  return { outcome: 'success', code: null, retryable: false, effect: true, data: Buffer.from(JSON.stringify(data)) }
}

export function failure(code, message, retryable = false) {
  return { outcome: 'failure', code, retryable, effect: true, data: Buffer.from(JSON.stringify({ message })) }
}

// Reads a record. Throws when it is no command.
export function decode(message) {
  const headers = new Map()
  for (const [key, value] of message.headers) { // keys are buffers, so that a name may be there twice
    const name = key.toString().toLowerCase()
    if (headers.has(name) && (name.startsWith('ce_') || name === 'content-type')) {
      throw new Error(`header ${name} is there twice`)
    }
    headers.set(name, value ?? Buffer.alloc(0))
  }
  const read = (name, form) => {
    const text = utf8.decode(headers.get(name) ?? Buffer.alloc(0))
    if (!form.test(text)) {
      throw new Error(`header ${name} is missing or unreadable`)
    }
    return text
  }
  read('ce_specversion', /^1\.0$/)
  const value = message.value ?? Buffer.alloc(0)
  const expiresAt = headers.has('ce_expirytime') ? Date.parse(read('ce_expirytime', TEXT)) : Infinity
  if (Number.isNaN(expiresAt)) {
    throw new Error('ce_expirytime is no time')
  }
  return {
    id: read('ce_id', UUID), // deduplicate on this
    sagaId: read('ce_correlationid', UUID),
    step: read('ce_sagastep', TEXT),
    action: read('ce_sagaaction', /^(do|undo)$/),
    attempt: Number(read('ce_sagaattempt', /^[0-9]{1,5}$/)),
    type: read('ce_type', TEXT),
    replyTo: read('ce_replyto', TOPIC),
    expiresAt, // milliseconds; after this nobody waits for the answer to a do
    key: message.key,
    data: JSON.parse(utf8.decode(value)),
    dataHash: createHash('sha256').update(value).digest(),
    trace: ['traceparent', 'tracestate'].filter(name => headers.has(name)).map(name => [name, headers.get(name)])
  }
}

export function isExpired(command) {
  return command.action === 'do' && command.expiresAt < Date.now()
}

// The same reply to the same command has the same id, so that a repetition can be told.
export function replyRecord(reply, command, participant) {
  const headers = [
    ['ce_specversion', '1.0'],
    ['content-type', 'application/json'],
    ['ce_id', `${command.id}:${reply.code === 'saga.conflict' ? 'conflict' : reply.outcome}`],
    ['ce_source', `/participants/${participant}`],
    ['ce_type', `${command.type}.${reply.outcome}`],
    ['ce_correlationid', command.sagaId],
    ['ce_causationid', command.id],
    ['ce_sagaoutcome', reply.outcome]
  ]
  if (reply.code) headers.push(['ce_sagaerrorcode', reply.code])
  if (reply.retryable) headers.push(['ce_sagaretryable', 'true'])
  if (!reply.effect) headers.push(['ce_sagaeffect', 'false'])
  headers.push(...command.trace)
  return {
    topic: command.replyTo,
    key: command.key,
    value: reply.data,
    headers: new Map(headers.map(([name, value]) => [Buffer.from(name), Buffer.from(value)]))
  }
}

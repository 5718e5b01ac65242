// The loop: a command in; one transaction; the reply out; then the offset.

import { readFile } from 'node:fs/promises'
import {
  compatibilityPartitioner, Consumer, MessagesStreamFallbackModes, MessagesStreamModes, ProduceAcks, Producer
} from '@platformatic/kafka'
import pg from 'pg'
import { decode, failure, isExpired, replyRecord } from './contract.js'
import { handlers } from './handler.js'

const NAME = 'clearing'
const BOOTSTRAP = process.env.KAFKA_BOOTSTRAP.split(',')
const COMMAND_TOPIC = process.env.COMMAND_TOPIC ?? 'clearing.commands'
const DEAD_LETTER_TOPIC = process.env.DEAD_LETTER_TOPIC ?? `${NAME}.dead-letters`

const database = new pg.Client({ connectionString: process.env.DATABASE_URL })
database.on('error', error => { // the process ends, and is restarted where its offsets are
  console.error('database lost:', error.message)
  process.exit(1)
})
const producer = new Producer({
  clientId: NAME,
  bootstrapBrokers: BOOTSTRAP,
  acks: ProduceAcks.ALL,
  retries: 30,
  retryDelay: 1_000,
  partitioner: compatibilityPartitioner, // as the Java client, so that one saga's records stay on one partition
  compression: 'gzip'
})
const consumer = new Consumer({
  clientId: NAME,
  bootstrapBrokers: BOOTSTRAP,
  groupId: process.env.GROUP ?? NAME,
  groupInstanceId: process.env.INSTANCE,
  sessionTimeout: 45_000,
  maxWaitTime: 500
})

async function main() {
  await database.connect()
  await applySchema()
  const stream = await consumer.consume({
    topics: [COMMAND_TOPIC],
    autocommit: false,
    mode: MessagesStreamModes.COMMITTED,
    fallbackMode: MessagesStreamFallbackModes.EARLIEST
  })
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => stream.close())
  }
  console.log(`${NAME} reads ${COMMAND_TOPIC}`)
  for await (const message of stream) {
    const out = await take(message)
    if (out) {
      await send(out)
    }
    await commit(message)
  }
  await consumer.close(true)
  await producer.close()
  await database.end()
}

// One process at a time: two that make the same table at once disturb each other.
async function applySchema() {
  const files = ['sagabus_barrier.sql', 'schema.sql'].map(file => readFile(new URL(file, import.meta.url), 'utf8'))
  const schema = (await Promise.all(files)).join('')
  await database.query(`BEGIN; SELECT pg_advisory_xact_lock(5242); ${schema} COMMIT`)
}

// What is to be sent for a record: a reply, a dead letter, or nothing.
async function take(message) {
  let command
  try {
    command = decode(message)
    if (!Object.hasOwn(handlers, `${command.action} ${command.type}`)) {
      throw new Error(`nobody here handles ${command.action} ${command.type}`)
    }
  } catch (error) {
    console.warn(`${message.topic}/${message.partition}@${message.offset} is no command: ${error.message}`)
    return { topic: DEAD_LETTER_TOPIC, key: message.key, value: message.value, headers: message.headers }
  }
  try {
    await database.query('BEGIN')
    const reply = await answer(command)
    await database.query('COMMIT')
    return reply && replyRecord(reply, command, NAME)
  } catch (error) {
    await database.query('ROLLBACK')
    console.error(`command ${command.id} was rolled back, it comes again:`, error)
  }
}

// Effect and reply become true together. Nothing comes back where somebody else is at work on the command.
async function answer(command) {
  const begin = [command.id, command.sagaId, command.step, command.action, command.attempt, command.dataHash]
  const { rows: [begun] } = await database.query('SELECT * FROM sagabus_barrier.begin($1, $2, $3, $4, $5, $6)', begin)
  switch (begun.verdict) {
    case 'busy':
      return
    case 'conflict':
      return failure('saga.conflict', 'this command id came with other data before')
    case 'run': {
      const reply = isExpired(command)
        ? failure('saga.expired', 'nobody waits for it any longer')
        : await handlers[`${command.action} ${command.type}`](database, command)
      const finish = [command.id, reply.outcome, reply.code, reply.retryable, reply.effect, reply.data]
      await database.query('SELECT sagabus_barrier.finish($1, $2, $3, $4, $5, $6)', finish)
      return reply
    }
    default:
      return { outcome: begun.outcome, code: begun.error_code, retryable: begun.retryable, effect: begun.effect, data: begun.reply }
  }
}

// What the broker refuses for good is missed: a reply is asked for again, and given from the store. What it cannot take for
// half a minute ends the process, which is restarted where its offsets are.
async function send(message) {
  try {
    await producer.send({ messages: [message] })
  } catch (error) {
    if (!error.findBy?.('canRetry', false)) {
      throw error
    }
    console.error(`not sent to ${message.topic}:`, error)
  }
}

async function commit(message) {
  try {
    await message.commit()
  } catch (error) {
    console.warn('offset not committed, the command comes again:', error.message)
  }
}

await main()

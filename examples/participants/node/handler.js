// Your business code: what a command of step clearing does, and how that is undone.
//
// It runs inside the transaction that also stores the reply, at most once in effect for each command id: write through
// `database` only, and do not commit. An exception means that the outcome is not known: everything is rolled back, and
// the command comes again. A failure is definite: nothing was done and nothing ever will be under this command id.

import { failure, success } from './contract.js'

async function perform(database, command) {
  if (command.data?.refuse === true) { // as an example: your rules come here
    return failure('REFUSED', 'the data ask to be refused')
  }
  await database.query('INSERT INTO effect (command_id, saga_id, step, data) VALUES ($1, $2, $3, $4)',
    [command.id, command.sagaId, command.step, JSON.stringify(command.data)])
  return success({ effectId: command.id })
}

// Undoes whichever attempt had an effect: found by saga and step, since an undo has an id of its own.
async function undo(database, command) {
  await database.query('DELETE FROM effect WHERE saga_id = $1 AND step = $2', [command.sagaId, command.step])
  return success()
}

export const handlers = {
  'do clearing.book': perform,
  'undo clearing.cancel': undo,
}

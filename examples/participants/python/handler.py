"""Your business code: what a command of step clearing does, and how that is undone.

Runs inside the transaction that also stores the reply, at most once in effect for each command id: write through `database`
only, and do not commit. An exception means that the outcome is not known: everything is rolled back, and the command comes again.
A failure is definite: it says that nothing was done and nothing ever will be under this command id.
"""

from psycopg import Connection
from psycopg.types.json import Jsonb

from contract import Command, Reply, failure, success


def perform(database: Connection, command: Command) -> Reply:
    if command.data == {"refuse": True}:  # as an example: your rules come here
        return failure("REFUSED", "the data ask to be refused")
    database.execute(
        "INSERT INTO effect (command_id, saga_id, step, data) VALUES (%s, %s, %s, %s)",
        (command.id, command.saga_id, command.step, Jsonb(command.data)),
    )
    return success({"effectId": str(command.id)})


def undo(database: Connection, command: Command) -> Reply:
    """Undoes whichever attempt had an effect: found by saga and step, since an undo has an id of its own."""
    database.execute("DELETE FROM effect WHERE saga_id = %s AND step = %s", (command.saga_id, command.step))
    return success()


HANDLERS = {
    ("do", "clearing.book"): perform,
    ("undo", "clearing.cancel"): undo,
}

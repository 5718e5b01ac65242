package main

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
)

// Your business code: what a command of step clearing does, and how that is undone.
//
// It runs inside the transaction that also stores the reply, at most once in effect for each command id: write through
// tx only, and do not commit. An error means that the outcome is not known: everything is rolled back, and the command
// comes again. A failure is definite: nothing was done and nothing ever will be under this command id.
type handler func(ctx context.Context, tx pgx.Tx, command *Command) (Reply, error)

// handlerOf says what handles a command; nil: nothing here does.
func handlerOf(command *Command) handler {
	switch command.Action + " " + command.Type {
	case "do clearing.book":
		return perform
	case "undo clearing.cancel":
		return undo
	default:
		return nil
	}
}

func perform(ctx context.Context, tx pgx.Tx, command *Command) (Reply, error) {
	var data struct{ Refuse bool }
	if json.Unmarshal(command.Data, &data) == nil && data.Refuse { // as an example: your rules come here
		return failure("REFUSED", "the data ask to be refused"), nil
	}
	_, err := tx.Exec(ctx, "INSERT INTO effect (command_id, saga_id, step, data) VALUES ($1, $2, $3, $4)",
		command.ID, command.SagaID, command.Step, string(command.Data))
	return success(map[string]string{"effectId": command.ID}), err
}

// undo takes back whichever attempt had an effect: found by saga and step, since an undo has an id of its own.
func undo(ctx context.Context, tx pgx.Tx, command *Command) (Reply, error) {
	_, err := tx.Exec(ctx, "DELETE FROM effect WHERE saga_id = $1 AND step = $2", command.SagaID, command.Step)
	return success(struct{}{}), err
}

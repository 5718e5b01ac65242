// A participant of sagas. The loop: commands in; one transaction each; replies out; then the offsets.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	name  = "clearing"
	batch = 100
)

//go:embed sagabus_barrier.sql
var barrierSQL string

//go:embed schema.sql
var schemaSQL string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	// What is begun is finished, also when ctx has ended.
	work := context.WithoutCancel(ctx)
	database, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("connect to DATABASE_URL: %w", err)
	}
	defer database.Close(work)
	if err := applySchema(ctx, database); err != nil {
		return fmt.Errorf("apply schema: %w", err)
	}
	commandTopic := cmp.Or(os.Getenv("COMMAND_TOPIC"), "clearing.commands")
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BOOTSTRAP"), ",")...),
		kgo.ConsumerGroup(cmp.Or(os.Getenv("GROUP"), name)),
		kgo.ConsumeTopics(commandTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // partitions stay ours until their batch is committed
	}
	if instance := os.Getenv("INSTANCE"); instance != "" {
		options = append(options, kgo.InstanceID(instance))
	}
	// Produces with all acknowledgements, idempotent, and tries again without end what the broker cannot take now.
	client, err := kgo.NewClient(options...)
	if err != nil {
		return fmt.Errorf("connect to KAFKA_BOOTSTRAP: %w", err)
	}
	defer client.CloseAllowingRebalance()
	service := &service{database: database, deadLetters: cmp.Or(os.Getenv("DEAD_LETTER_TOPIC"), name+".dead-letters")}
	slog.Info("reading", "topic", commandTopic)
	for {
		fetches := client.PollRecords(ctx, batch)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			slog.Warn("consumer", "topic", topic, "partition", partition, "error", err)
		})
		var out []*kgo.Record
		for _, record := range fetches.Records() {
			reply, err := service.take(work, record)
			if err != nil {
				return err // the process ends, and is restarted where its offsets are
			}
			if reply != nil {
				out = append(out, reply)
			}
		}
		for _, result := range client.ProduceSync(work, out...) {
			if result.Err != nil { // final. A reply that is missed is asked for again, and given from the store
				slog.Error("not sent", "topic", result.Record.Topic, "error", result.Err)
			}
		}
		if err := client.CommitRecords(work, fetches.Records()...); err != nil {
			slog.Warn("offsets not committed, commands come again", "error", err)
		}
		client.AllowRebalance()
	}
}

// applySchema runs in one process at a time: two that make the same table at once disturb each other.
func applySchema(ctx context.Context, database *pgx.Conn) error {
	return pgx.BeginFunc(ctx, database, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(5242);"+barrierSQL+schemaSQL)
		return err
	})
}

type service struct {
	database    *pgx.Conn
	deadLetters string
}

// take returns what is to be sent for a record: a reply, a dead letter, or nothing. An error: the database is lost.
func (s *service) take(ctx context.Context, record *kgo.Record) (*kgo.Record, error) {
	command, err := decode(record)
	if err == nil && handlerOf(command) == nil {
		err = fmt.Errorf("nobody here handles %s %s", command.Action, command.Type)
	}
	if err != nil {
		slog.Warn("no command", "topic", record.Topic, "partition", record.Partition, "offset", record.Offset, "error", err)
		return &kgo.Record{Topic: s.deadLetters, Key: record.Key, Value: record.Value, Headers: record.Headers}, nil
	}
	var reply *Reply
	err = pgx.BeginFunc(ctx, s.database, func(tx pgx.Tx) error {
		reply, err = answer(ctx, tx, command)
		return err
	})
	switch {
	case err == nil && reply != nil:
		return reply.record(command, name), nil
	case err == nil:
		return nil, nil // somebody else is at work on it, and it comes again
	case s.database.IsClosed():
		return nil, err
	default:
		slog.Error("command rolled back, it comes again", "command", command.ID, "error", err)
		return nil, nil
	}
}

// answer makes effect and reply true together.
func answer(ctx context.Context, tx pgx.Tx, command *Command) (*Reply, error) {
	var verdict string
	var outcome *string
	var reply Reply
	err := tx.QueryRow(ctx,
		"SELECT verdict, outcome, error_code, retryable, effect, reply FROM sagabus_barrier.begin($1, $2, $3, $4, $5, $6)",
		command.ID, command.SagaID, command.Step, command.Action, command.Attempt, command.DataHash,
	).Scan(&verdict, &outcome, &reply.Code, &reply.Retryable, &reply.Effect, &reply.Data)
	if err != nil {
		return nil, err
	}
	switch verdict {
	case "busy":
		return nil, nil
	case "conflict":
		reply = failure("saga.conflict", "this command id came with other data before")
		return &reply, nil
	case "run":
		if command.isExpired() {
			reply = failure("saga.expired", "nobody waits for it any longer")
		} else if reply, err = handlerOf(command)(ctx, tx, command); err != nil {
			return nil, err
		}
		_, err = tx.Exec(ctx, "SELECT sagabus_barrier.finish($1, $2, $3, $4, $5, $6)",
			command.ID, reply.Outcome, reply.Code, reply.Retryable, reply.Effect, reply.Data)
		return &reply, err
	default:
		reply.Outcome = *outcome
		return &reply, nil
	}
}

package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Command is what Sagabus asks for: CloudEvents 1.0 in Kafka's binary mode.
type Command struct {
	ID        string // a UUID: deduplicate on this
	SagaID    string // a UUID
	Step      string
	Action    string // do or undo
	Attempt   int
	Type      string
	ReplyTo   string
	ExpiresAt time.Time // zero: never. After it nobody waits for the answer to a do
	Key       []byte
	Data      json.RawMessage
	DataHash  []byte
	trace     []kgo.RecordHeader
}

// Reply is the answer to a command, as it is stored and sent.
type Reply struct {
	Outcome   string
	Code      *string
	Retryable bool
	Effect    bool
	Data      []byte
}

func success(data any) Reply {
	return Reply{Outcome: "success", Effect: true, Data: encode(data)}
}

func failure(code, message string) Reply {
	return Reply{Outcome: "failure", Code: &code, Effect: true, Data: encode(map[string]string{"message": message})}
}

func encode(data any) []byte {
	bytes, err := json.Marshal(data)
	if err != nil {
		panic(err) // a handler's own type that JSON cannot hold
	}
	return bytes
}

var (
	uuid    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	topic   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
	action  = regexp.MustCompile(`^(do|undo)$`)
	attempt = regexp.MustCompile(`^[0-9]{1,5}$`)
	version = regexp.MustCompile(`^1\.0$`)
	text    = regexp.MustCompile(`^[^\x00]+$`)
)

// decode reads a record. An error: it is no command.
func decode(record *kgo.Record) (*Command, error) {
	headers := map[string][]byte{}
	for _, header := range record.Headers {
		name := strings.ToLower(header.Key)
		if _, twice := headers[name]; twice && (strings.HasPrefix(name, "ce_") || name == "content-type") {
			return nil, fmt.Errorf("header %s is there twice", name)
		}
		headers[name] = header.Value
	}
	var broken error
	read := func(name string, form *regexp.Regexp) string {
		if value := headers[name]; !form.Match(value) || !utf8.Valid(value) {
			broken = errors.Join(broken, fmt.Errorf("header %s is missing or unreadable", name))
		}
		return string(headers[name])
	}
	read("ce_specversion", version)
	hash := sha256.Sum256(record.Value)
	command := &Command{
		ID:       read("ce_id", uuid),
		SagaID:   read("ce_correlationid", uuid),
		Step:     read("ce_sagastep", text),
		Action:   read("ce_sagaaction", action),
		Type:     read("ce_type", text),
		ReplyTo:  read("ce_replyto", topic),
		Key:      record.Key,
		Data:     record.Value,
		DataHash: hash[:],
	}
	command.Attempt, _ = strconv.Atoi(read("ce_sagaattempt", attempt))
	if value, there := headers["ce_expirytime"]; there {
		at, err := time.Parse(time.RFC3339, string(value))
		broken = errors.Join(broken, err)
		command.ExpiresAt = at
	}
	if !json.Valid(record.Value) {
		broken = errors.Join(broken, errors.New("the value is not JSON"))
	}
	for _, name := range []string{"traceparent", "tracestate"} {
		if value, there := headers[name]; there {
			command.trace = append(command.trace, kgo.RecordHeader{Key: name, Value: value})
		}
	}
	return command, broken
}

func (command *Command) isExpired() bool {
	return command.Action == "do" && !command.ExpiresAt.IsZero() && command.ExpiresAt.Before(time.Now())
}

// record is the reply as it is sent. The same reply to the same command has the same id, so that a repetition can be told.
func (reply Reply) record(command *Command, participant string) *kgo.Record {
	record := &kgo.Record{Topic: command.ReplyTo, Key: command.Key, Value: reply.Data}
	add := func(name, value string) {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	kind := reply.Outcome
	if reply.Code != nil && *reply.Code == "saga.conflict" {
		kind = "conflict"
	}
	add("ce_specversion", "1.0")
	add("content-type", "application/json")
	add("ce_id", command.ID+":"+kind)
	add("ce_source", "/participants/"+participant)
	add("ce_type", command.Type+"."+reply.Outcome)
	add("ce_correlationid", command.SagaID)
	add("ce_causationid", command.ID)
	add("ce_sagaoutcome", reply.Outcome)
	if reply.Code != nil {
		add("ce_sagaerrorcode", *reply.Code)
	}
	if reply.Retryable {
		add("ce_sagaretryable", "true")
	}
	if !reply.Effect {
		add("ce_sagaeffect", "false")
	}
	record.Headers = append(record.Headers, command.trace...)
	return record
}

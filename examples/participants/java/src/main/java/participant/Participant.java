package participant;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The loop: commands in; one transaction each; replies out; then the offsets. */
final class Participant {
    private static final String NAME = "clearing";
    private static final String BEGIN =
            "SELECT verdict, outcome, error_code, retryable, effect, reply FROM sagabus_barrier.begin(?, ?, ?, ?, ?, ?)";
    private static final String FINISH = "SELECT sagabus_barrier.finish(?, ?, ?, ?, ?, ?)";
    private static final Logger log = LoggerFactory.getLogger(NAME);

    private final Connection database;
    private final KafkaProducer<byte[], byte[]> producer;
    private final String deadLetterTopic;

    private Participant(Connection database, KafkaProducer<byte[], byte[]> producer, String deadLetterTopic) {
        this.database = database;
        this.producer = producer;
        this.deadLetterTopic = deadLetterTopic;
    }

    public static void main(String[] arguments) throws Exception {
        var environment = System.getenv();
        var commandTopic = environment.getOrDefault("COMMAND_TOPIC", "clearing.commands");
        var deadLetterTopic = environment.getOrDefault("DEAD_LETTER_TOPIC", NAME + ".dead-letters");
        try (var database = DriverManager.getConnection(environment.get("DATABASE_URL"));
                var producer = new KafkaProducer<>(
                        producerSettings(environment), new ByteArraySerializer(), new ByteArraySerializer());
                var consumer = new KafkaConsumer<>(
                        consumerSettings(environment), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            applySchema(database);
            var ended = Thread.currentThread();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                consumer.wakeup();
                try {
                    ended.join();
                } catch (InterruptedException error) {
                    Thread.currentThread().interrupt();
                }
            }));
            consumer.subscribe(List.of(commandTopic));
            log.info("{} reads {}", NAME, commandTopic);
            new Participant(database, producer, deadLetterTopic).run(consumer);
        }
    }

    /** What a client cannot deliver now it tries again, without end. */
    private static Map<String, Object> producerSettings(Map<String, String> environment) {
        return Map.of(
                "bootstrap.servers", environment.get("KAFKA_BOOTSTRAP"),
                "acks", "all",
                "delivery.timeout.ms", Integer.MAX_VALUE,
                "max.request.size", 2_000_000,
                "compression.type", "gzip");
    }

    private static Map<String, Object> consumerSettings(Map<String, String> environment) {
        var settings = new HashMap<String, Object>(Map.of(
                "bootstrap.servers", environment.get("KAFKA_BOOTSTRAP"),
                "group.id", environment.getOrDefault("GROUP", NAME),
                "enable.auto.commit", false,
                "auto.offset.reset", "earliest",
                "max.poll.records", 100));
        if (environment.containsKey("INSTANCE")) {
            settings.put("group.instance.id", environment.get("INSTANCE"));
        }
        return settings;
    }

    /** One process at a time: two that make the same table at once disturb each other. */
    private static void applySchema(Connection database) throws SQLException, IOException {
        database.setAutoCommit(false);
        try (var statement = database.createStatement()) {
            statement.execute("SELECT pg_advisory_xact_lock(5242)");
            for (var file : List.of("sagabus_barrier.sql", "schema.sql")) {
                statement.execute(Files.readString(Path.of(file)));
            }
        }
        database.commit();
    }

    private void run(KafkaConsumer<byte[], byte[]> consumer) throws SQLException {
        try {
            while (true) {
                var records = consumer.poll(Duration.ofSeconds(1));
                for (var record : records) {
                    take(record);
                }
                producer.flush();
                if (!records.isEmpty()) {
                    commit(consumer);
                }
            }
        } catch (WakeupException asked) {
            log.info("{} ends", NAME);
        }
    }

    private static void commit(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            consumer.commitSync();
        } catch (CommitFailedException | RebalanceInProgressException error) {
            log.warn("offsets not committed, commands come again: {}", error.getMessage());
        }
    }

    private void take(ConsumerRecord<byte[], byte[]> record) throws SQLException {
        try {
            var command = Command.decode(record);
            var handler = Handler.HANDLERS.get(command.action() + " " + command.type());
            if (handler == null) {
                throw new Command.MalformedException("nobody here handles " + command.action() + " " + command.type());
            }
            var reply = answer(command, handler);
            if (reply != null) {
                send(reply.record(command, NAME));
            }
        } catch (Command.MalformedException reason) {
            log.warn("{}-{}@{} is no command: {}",
                    record.topic(), record.partition(), record.offset(), reason.getMessage());
            send(new ProducerRecord<>(deadLetterTopic, null, record.key(), record.value(), record.headers()));
        }
    }

    /** Effect and reply become true together. Null: nothing is known, so nothing is said, and the command comes again. */
    private Reply answer(Command command, Handler handler) throws SQLException {
        try {
            var reply = judge(command, handler);
            database.commit();
            return reply;
        } catch (SQLException | RuntimeException error) {
            if (!database.isValid(5)) {
                throw error; // the process ends, and is restarted where its offsets are
            }
            database.rollback();
            log.error("command {} was rolled back", command.id(), error);
            return null;
        }
    }

    private Reply judge(Command command, Handler handler) throws SQLException {
        try (var begin = database.prepareStatement(BEGIN)) {
            begin.setObject(1, command.id());
            begin.setObject(2, command.sagaId());
            begin.setString(3, command.step());
            begin.setString(4, command.action());
            begin.setInt(5, command.attempt());
            begin.setBytes(6, command.dataHash());
            try (var row = begin.executeQuery()) {
                row.next();
                return switch (row.getString("verdict")) {
                    case "busy" -> null;
                    case "conflict" ->
                        Reply.failure("saga.conflict", "this command id came with other data before", false);
                    case "run" -> perform(command, handler);
                    default -> new Reply(
                            row.getString("outcome"), row.getString("error_code"), row.getBoolean("retryable"),
                            row.getBoolean("effect"), row.getBytes("reply"));
                };
            }
        }
    }

    private Reply perform(Command command, Handler handler) throws SQLException {
        var reply = command.isExpired()
                ? Reply.failure("saga.expired", "nobody waits for it any longer", false)
                : handler.handle(database, command);
        try (var finish = database.prepareStatement(FINISH)) {
            finish.setObject(1, command.id());
            finish.setString(2, reply.outcome());
            finish.setString(3, reply.code());
            finish.setBoolean(4, reply.retryable());
            finish.setBoolean(5, reply.effect());
            finish.setBytes(6, reply.data());
            finish.execute();
        }
        return reply;
    }

    /** A failure here is final. A reply that is missed is asked for again, and given from the store. */
    private void send(ProducerRecord<byte[], byte[]> record) {
        producer.send(record, (metadata, error) -> {
            if (error != null) {
                log.error("not sent to {}", record.topic(), error);
            }
        });
    }
}

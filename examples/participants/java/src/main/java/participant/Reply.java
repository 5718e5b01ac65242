package participant;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The answer to a command, as it is stored and sent.
 *
 * @param outcome success or failure
 * @param code of a failure: a short stable word; else null
 * @param retryable a new attempt may succeed
 * @param effect false for a success that changed nothing
 * @param data JSON
 */
record Reply(String outcome, String code, boolean retryable, boolean effect, byte[] data) {

    private static final ObjectMapper JSON = new ObjectMapper();

    static Reply success(Object data) {
        return new Reply("success", null, false, true, bytes(data));
    }

    static Reply failure(String code, String message, boolean retryable) {
        return new Reply("failure", code, retryable, true, bytes(Map.of("message", message)));
    }

    private static byte[] bytes(Object data) {
        try {
            return JSON.writeValueAsBytes(data);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException("not JSON: " + data, error);
        }
    }

    /** The same reply to the same command has the same id, so that a repetition can be told. */
    ProducerRecord<byte[], byte[]> record(Command command, String participant) {
        var record = new ProducerRecord<>(command.replyTo(), command.key(), data);
        add(record, "ce_specversion", "1.0");
        add(record, "content-type", "application/json");
        add(record, "ce_id", command.id() + ":" + ("saga.conflict".equals(code) ? "conflict" : outcome));
        add(record, "ce_source", "/participants/" + participant);
        add(record, "ce_type", command.type() + "." + outcome);
        add(record, "ce_correlationid", command.sagaId().toString());
        add(record, "ce_causationid", command.id().toString());
        add(record, "ce_sagaoutcome", outcome);
        if (code != null) {
            add(record, "ce_sagaerrorcode", code);
        }
        if (retryable) {
            add(record, "ce_sagaretryable", "true");
        }
        if (!effect) {
            add(record, "ce_sagaeffect", "false");
        }
        command.trace().forEach(record.headers()::add);
        return record;
    }

    private static void add(ProducerRecord<byte[], byte[]> record, String name, String value) {
        record.headers().add(name, value.getBytes(StandardCharsets.UTF_8));
    }
}

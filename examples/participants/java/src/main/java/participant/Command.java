package participant;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * What Sagabus asks for: CloudEvents 1.0 in Kafka's binary mode.
 *
 * @param id deduplicate on this
 * @param action do or undo
 * @param expiresAt after this nobody waits for the answer to a do
 * @param trace headers that go on with the reply
 */
record Command(
        UUID id,
        UUID sagaId,
        String step,
        String action,
        int attempt,
        String type,
        String replyTo,
        Instant expiresAt,
        byte[] key,
        JsonNode data,
        byte[] dataHash,
        List<Header> trace) {

    private static final Pattern TEXT = Pattern.compile("[^\\x00]+");
    private static final ObjectMapper JSON =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    /** The record is no command. */
    static final class MalformedException extends Exception {
        MalformedException(String message) {
            super(message);
        }
    }

    static Command decode(ConsumerRecord<byte[], byte[]> record) throws MalformedException {
        var headers = headers(record);
        read(headers, "ce_specversion", Pattern.compile("1\\.0"));
        var value = record.value() == null ? new byte[0] : record.value();
        var trace = new ArrayList<Header>();
        for (var name : List.of("traceparent", "tracestate")) {
            if (headers.containsKey(name)) {
                trace.add(new RecordHeader(name, headers.get(name)));
            }
        }
        try {
            return new Command(
                    UUID.fromString(read(headers, "ce_id", TEXT)),
                    UUID.fromString(read(headers, "ce_correlationid", TEXT)),
                    read(headers, "ce_sagastep", TEXT),
                    read(headers, "ce_sagaaction", Pattern.compile("do|undo")),
                    Integer.parseInt(read(headers, "ce_sagaattempt", Pattern.compile("[0-9]{1,5}"))),
                    read(headers, "ce_type", TEXT),
                    read(headers, "ce_replyto", Pattern.compile("[A-Za-z0-9._-]{1,249}")),
                    headers.containsKey("ce_expirytime")
                            ? OffsetDateTime.parse(read(headers, "ce_expirytime", TEXT)).toInstant()
                            : Instant.MAX,
                    record.key(),
                    json(value),
                    MessageDigest.getInstance("SHA-256").digest(value),
                    trace);
        } catch (IllegalArgumentException | DateTimeParseException | IOException error) {
            throw new MalformedException(error.getMessage());
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java has SHA-256", error);
        }
    }

    boolean isExpired() {
        return action.equals("do") && expiresAt.isBefore(Instant.now());
    }

    private static Map<String, byte[]> headers(ConsumerRecord<byte[], byte[]> record) throws MalformedException {
        var headers = new HashMap<String, byte[]>();
        for (var header : record.headers()) {
            var name = header.key().toLowerCase(Locale.ROOT);
            var value = header.value() == null ? new byte[0] : header.value();
            var isTwice = headers.put(name, value) != null;
            if (isTwice && (name.startsWith("ce_") || name.equals("content-type"))) {
                throw new MalformedException("header " + name + " is there twice");
            }
        }
        return headers;
    }

    private static String read(Map<String, byte[]> headers, String name, Pattern form) throws MalformedException {
        try {
            var bytes = ByteBuffer.wrap(headers.getOrDefault(name, new byte[0]));
            var text = StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
            if (form.matcher(text).matches()) {
                return text;
            }
        } catch (CharacterCodingException error) {
            // Said below.
        }
        throw new MalformedException("header " + name + " is missing or unreadable");
    }

    private static JsonNode json(byte[] value) throws IOException, MalformedException {
        var data = JSON.readTree(value);
        if (data.isMissingNode()) {
            throw new MalformedException("the value is empty");
        }
        return data;
    }
}

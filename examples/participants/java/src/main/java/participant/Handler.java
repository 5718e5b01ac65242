package participant;

import java.sql.Connection;
import java.sql.SQLException;
import java.util.Map;

/**
 * Your business code: what a command of step clearing does, and how that is undone.
 *
 * <p>It runs inside the transaction that also stores the reply, at most once in effect for each command id: write through
 * {@code database} only, and do not commit. An exception means that the outcome is not known: everything is rolled back, and the
 * command comes again. A failure is definite: nothing was done and nothing ever will be under this command id.
 */
@FunctionalInterface
interface Handler {
    Map<String, Handler> HANDLERS = Map.of(
            "do clearing.book", Handler::perform,
            "undo clearing.cancel", Handler::undo);

    Reply handle(Connection database, Command command) throws SQLException;

    private static Reply perform(Connection database, Command command) throws SQLException {
        if (command.data().path("refuse").asBoolean()) { // as an example: your rules come here
            return Reply.failure("REFUSED", "the data ask to be refused", false);
        }
        try (var insert = database.prepareStatement(
                "INSERT INTO effect (command_id, saga_id, step, data) VALUES (?, ?, ?, ?::jsonb)")) {
            insert.setObject(1, command.id());
            insert.setObject(2, command.sagaId());
            insert.setString(3, command.step());
            insert.setString(4, command.data().toString());
            insert.executeUpdate();
        }
        return Reply.success(Map.of("effectId", command.id()));
    }

    /** Undoes whichever attempt had an effect: found by saga and step, since an undo has an id of its own. */
    private static Reply undo(Connection database, Command command) throws SQLException {
        try (var delete = database.prepareStatement("DELETE FROM effect WHERE saga_id = ? AND step = ?")) {
            delete.setObject(1, command.sagaId());
            delete.setString(2, command.step());
            delete.executeUpdate();
        }
        return Reply.success(Map.of());
    }
}

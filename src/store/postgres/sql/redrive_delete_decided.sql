-- Records that entered the line again long ago; as long as one is still parked, how often is counted.
DELETE FROM redrive WHERE id IN (
    SELECT r.id FROM redrive r LEFT JOIN parked_message p ON p.id = r.message_id
    WHERE r.decided_at < $1 AND p.state IS DISTINCT FROM 'parked' LIMIT $2)

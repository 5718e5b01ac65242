-- What became of records that were to enter the line again, as far as they were judged; whether what was put aside still waits.
SELECT r.id, r.message_id, r.verdict, r.message, coalesce(p.state = 'parked', false)
FROM redrive r LEFT JOIN parked_message p ON p.id = r.message_id WHERE r.id = ANY($1) AND r.verdict IS NOT NULL
ORDER BY r.topic, r.partition, r."offset"

-- How often a message entered the line again, and how that ended.
SELECT verb, who, reason, requested_at, verdict, message FROM redrive WHERE message_id = $1 ORDER BY requested_at, id

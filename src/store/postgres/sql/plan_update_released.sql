-- Asks for the actions of a job's next items and moves the job on, if it is still this worker's and stands where it stood. An action
-- that was asked for before, whoever did, is left as it is.
WITH moved AS (
    UPDATE plan SET released = released + cardinality($4::uuid[]), next_at = $7
    WHERE number = $1 AND worker = $2 AND state = 'applying' AND released = $3 RETURNING verb, applied_by, reason
)
INSERT INTO operation (id, saga_id, request, verb, who, reason)
SELECT d.id, d.saga_id, d.request, m.verb, m.applied_by, m.reason
FROM moved m CROSS JOIN unnest($4::uuid[], $5::uuid[], $6::text[]) AS d(id, saga_id, request)
ON CONFLICT (id) DO NOTHING

-- How many committed batches nobody will send, and the first of them.
SELECT writer_id || '/' || batch, NULL::text, what, count(*) OVER () FROM unemitted_without_writer ORDER BY writer_id, batch LIMIT $1

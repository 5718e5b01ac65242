-- How many partitions do not balance, and the first of them.
SELECT topic || '/' || partition, NULL::text, what, count(*) OVER () FROM offset_holes ORDER BY topic, partition, what LIMIT $1

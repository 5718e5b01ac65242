-- One definition.
SELECT hash, name, version, body FROM definition WHERE hash = $1

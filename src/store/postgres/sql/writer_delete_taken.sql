-- Takeover, third statement, whenever everything was sent: nothing is left of the dead writer.
DELETE FROM writer w WHERE taken_over AND NOT EXISTS (SELECT 1 FROM unemitted WHERE owner = w.id)

-- Why an action was refused, in one word: programs tell a saga that has moved on from a state that does not allow it.
ALTER TABLE operation ADD COLUMN code text;

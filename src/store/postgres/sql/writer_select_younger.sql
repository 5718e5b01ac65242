-- Whether a younger process of this name has registered.
SELECT EXISTS (SELECT 1 FROM writer WHERE instance = $1 AND age > $2)

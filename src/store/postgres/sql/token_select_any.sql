-- Whether a token was ever made.
SELECT EXISTS (SELECT FROM token)

-- Version 9. What is asked often is read from indexes: the answers themselves are long, and what
-- stands behind them in a row is a walk away.

-- What answers cost, all of them or those of one asker.
CREATE INDEX answer_tokens ON answer (asker, prompt_tokens, generated_tokens);

-- Which answers nobody has considered yet, oldest first.
DROP INDEX answer_asked;
CREATE INDEX answer_asked ON answer (asked_ms, id);

-- What left for an answer that is erased.
CREATE INDEX outbound_answer ON outbound (answer_id);

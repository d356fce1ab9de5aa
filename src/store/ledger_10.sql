-- Version 10. Kept answers hold what they quote, and no more the passages that were found for them:
-- those are read from the notes where an answer is shown.

UPDATE answer SET body = json_set(body, '$.retrieval.hits', json((
    SELECT json_group_array(json_set(hit.value, '$.title', '', '$.heading', NULL, '$.text', ''))
    FROM json_each(answer.body, '$.retrieval.hits') hit)))
WHERE CASE WHEN json_valid(body) THEN json_type(body, '$.retrieval.hits') END = 'array';

-- What was there still stands in free pages.
INSERT INTO memo (name, value) SELECT 'purge', 'due' WHERE EXISTS (SELECT 1 FROM answer)
ON CONFLICT (name) DO UPDATE SET value = 'due';

-- What people and programs did through the API is listed without a walk through what the engine did.
CREATE INDEX facts_through_the_api ON facts (position) WHERE actor <> 'engine';
